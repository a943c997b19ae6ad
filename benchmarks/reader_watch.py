"""Watches the only reader as an application does: a line of JSON with presence and time for each change.

python -m benchmarks.reader_watch
"""

from __future__ import annotations

import json
import time

from smartcard.scard import (
    INFINITE,
    SCARD_SCOPE_SYSTEM,
    SCARD_STATE_EMPTY,
    SCARD_STATE_PRESENT,
    SCARD_STATE_UNAWARE,
    SCardEstablishContext,
    SCardGetStatusChange,
    SCardListReaders,
)


def main() -> None:
    """Watch until killed."""
    _, context = SCardEstablishContext(SCARD_SCOPE_SYSTEM)
    _, readers = SCardListReaders(context, [])
    state, was_present = SCARD_STATE_UNAWARE, None
    while True:
        _, [(_, state, _)] = SCardGetStatusChange(context, INFINITE, [(readers[0], state)])
        now = time.monotonic()
        if not state & (SCARD_STATE_PRESENT | SCARD_STATE_EMPTY):
            continue
        is_present = bool(state & SCARD_STATE_PRESENT)
        if is_present is not was_present:
            was_present = is_present
            print(json.dumps([is_present, now]), flush=True)


if __name__ == "__main__":
    main()
