"""An application that uses smart cards: questions as lines of JSON on standard input, answers on standard output.

A program of its own, because the PC/SC library keeps for the life of a process which pcscd it talks to: the one whose
socket ``PCSCLITE_CSOCK_NAME`` names.
"""

import json
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from smartcard import scard

GET_FEATURES = scard.SCARD_CTL_CODE(3400)


class PcscError(Exception):
    """A call of the PC/SC library did not succeed; ``code`` is its result."""

    def __init__(self, code: int) -> None:
        super().__init__(scard.SCardGetErrorMessage(code))
        self.code = code & 0xFFFFFFFF


def must(result: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a call that succeeded."""
    if result[0] != scard.SCARD_S_SUCCESS:
        raise PcscError(result[0])
    return result[1:]


class Application:
    def __init__(self) -> None:
        (self.context,) = must(scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM))
        self.cards: dict[str, Any] = {}

    def readers(self) -> list[str]:
        (names,) = must(scard.SCardListReaders(self.context, []))
        return list(names)

    def state(self, reader: str) -> dict[str, Any]:
        (states,) = must(scard.SCardGetStatusChange(self.context, 0, [(reader, scard.SCARD_STATE_UNAWARE)]))
        return {"present": bool(states[0][1] & scard.SCARD_STATE_PRESENT), "atr": bytes(states[0][2]).hex()}

    def wait(self, reader: str, present: bool, seconds: float) -> int:
        """The time at which the card was seen to be in or out, in nanoseconds of the monotonic clock."""
        until = time.monotonic() + seconds
        wanted = scard.SCARD_STATE_PRESENT if present else scard.SCARD_STATE_EMPTY
        known = scard.SCARD_STATE_UNAWARE
        while True:
            rest = max(0, int((until - time.monotonic()) * 1000))
            (states,) = must(scard.SCardGetStatusChange(self.context, rest, [(reader, known)]))
            seen = time.monotonic_ns()
            known = states[0][1] & ~scard.SCARD_STATE_CHANGED
            if known & wanted:
                return seen

    def connect(self, reader: str) -> int:
        protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        self.cards[reader], protocol = must(
            scard.SCardConnect(self.context, reader, scard.SCARD_SHARE_SHARED, protocols)
        )
        return int(protocol)

    def connect_to_reader(self, reader: str) -> int:
        self.cards[reader], protocol = must(
            scard.SCardConnect(self.context, reader, scard.SCARD_SHARE_DIRECT, scard.SCARD_PROTOCOL_T1)
        )
        return int(protocol)

    def disconnect(self, reader: str) -> None:
        must((scard.SCardDisconnect(self.cards.pop(reader), scard.SCARD_LEAVE_CARD),))

    def transmit(self, reader: str, command: str) -> str:
        (response,) = must(scard.SCardTransmit(self.cards[reader], scard.SCARD_PCI_T1, list(bytes.fromhex(command))))
        return bytes(byte & 0xFF for byte in response).hex()

    def control(self, reader: str, code: int, data: str) -> str:
        (answer,) = must(scard.SCardControl(self.cards[reader], code, list(bytes.fromhex(data))))
        return bytes(byte & 0xFF for byte in answer).hex()

    def features(self, reader: str) -> dict[int, int]:
        """The reader's features, each with its control code."""
        records = bytes.fromhex(self.control(reader, GET_FEATURES, ""))
        return {tag: code for tag, _, code in struct.iter_unpack(">BBI", records)}


def main() -> None:
    application = Application()
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        ask: Callable[..., Any] = getattr(application, verb)
        try:
            answer = {"answer": ask(*arguments)}
        except PcscError as error:
            answer = {"code": error.code, "text": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
