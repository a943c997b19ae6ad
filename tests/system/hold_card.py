"""A program that has the card in a reader to itself until its standard input ends."""

from __future__ import annotations

import sys

from smartcard import scard

CHOICE = (scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T1)


def main() -> None:
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    code, readers = scard.SCardListReaders(context, [])
    code, _, _ = scard.SCardConnect(context, readers[0], *CHOICE)
    if code != scard.SCARD_S_SUCCESS:
        sys.exit(scard.SCardGetErrorMessage(code))
    print("held", flush=True)
    while True:
        scard.SCardGetStatusChange(context, 60_000, [(readers[1], scard.SCARD_STATE_EMPTY)])


if __name__ == "__main__":
    main()
