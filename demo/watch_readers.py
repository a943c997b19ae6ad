"""Says when a card is inserted in a reader of this machine, and when it is removed, as PC/SC tells."""

from __future__ import annotations

import sys

from smartcard import scard


def main() -> None:
    """Watch until killed."""
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    _check(result)
    result, readers = scard.SCardListReaders(context, [])
    _check(result)
    states = [(reader, scard.SCARD_STATE_UNAWARE) for reader in readers]
    print("watching", flush=True)
    present: dict[str, bool] = {}
    while True:
        result, changed = scard.SCardGetStatusChange(context, 60_000, states)
        _check(result)
        for reader, state, _ in changed:
            is_present = bool(state & scard.SCARD_STATE_PRESENT)
            if is_present != present.get(reader, False):
                print(f"{'inserted in' if is_present else 'removed from'} {reader}", flush=True)
            present[reader] = is_present
        states = [(reader, state & ~scard.SCARD_STATE_CHANGED) for reader, state, _ in changed]


def _check(result: int) -> None:
    if result not in (scard.SCARD_S_SUCCESS, scard.SCARD_E_TIMEOUT):
        sys.exit(scard.SCardGetErrorMessage(result))


if __name__ == "__main__":
    main()
