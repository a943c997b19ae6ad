"""Reports, on the remote, when a card is inserted in a reader and when it is removed, as PC/SC tells; until killed.

A line has the kernel's monotonic time, ``inserted``, ``removed`` or ``lost`` (pcscd is gone), and the reader's number.
PC/SC waits for the event, so that a line is as old as the event itself.
"""

from __future__ import annotations

import time

from smartcard import scard

RETRY = 0.05
"""Seconds between tries to reach pcscd."""
GOOD = (scard.SCARD_S_SUCCESS, scard.SCARD_E_TIMEOUT)


def main() -> None:
    """Report for ever."""
    while True:
        result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        if result == scard.SCARD_S_SUCCESS:
            _follow(context)
            scard.SCardReleaseContext(context)
        time.sleep(RETRY)


def _follow(context: object) -> None:
    """Report until pcscd is gone."""
    result, names = scard.SCardListReaders(context, [])
    if result != scard.SCARD_S_SUCCESS:
        return
    states = [(name, scard.SCARD_STATE_UNAWARE) for name in names]
    counts: dict[str, int] = {}
    while True:
        result, changed = scard.SCardGetStatusChange(context, 60_000, states)
        if result not in GOOD:
            _say("lost", "00")
            return
        for name, state, _ in changed:
            _report(name, state, counts)
        states = [(name, state & ~scard.SCARD_STATE_CHANGED) for name, state, _ in changed]


def _report(name: str, state: int, counts: dict[str, int]) -> None:
    """Report the insertions and removals since the last time; pcscd counts them in the upper half of the state.

    So a removal and an insertion that were too quick to be seen apart are two events as well.
    """
    count = state >> 16
    present = bool(state & scard.SCARD_STATE_PRESENT)
    happened = (count - counts.get(name, count - present)) & 0xFFFF
    counts[name] = count
    for left in reversed(range(happened)):
        _say("inserted" if present is (left % 2 == 0) else "removed", name.split()[-2])


def _say(event: str, number: str) -> None:
    print(f"{time.monotonic():.4f} {event} {int(number)}", flush=True)


if __name__ == "__main__":
    main()
