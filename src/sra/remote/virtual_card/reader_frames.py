"""The frames between the driver and the virtual card, and whose turn it is (docs/reader-socket.md). No I/O.

The order of calls: ``greeting`` once; then, over and over, ``receive`` until it returns a question, ``waiting`` as
often as needed, and ``answer`` once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sra.errors import ProtocolError

VERSION = 1
MAX_COMMAND = 65_544
"""An extended command APDU: 4 bytes of header, 3 of Lc, 65,535 of data, 2 of Le."""


class FrameKind(IntEnum):
    """Kinds of frames (docs/reader-socket.md, "Frames")."""

    GREETING = 0x01
    POWER_ON = 0x02
    POWER_OFF = 0x03
    APDU = 0x04
    DONE = 0x81
    RESPONSE = 0x82
    WAIT = 0x83


@dataclass(frozen=True)
class DriverQuestion:
    """What the driver asks for; only an APDU has a body."""

    kind: FrameKind
    body: bytes


_HEADER = 5
_MIN_APDU = 4
_BODY_SIZES: dict[int, range] = {
    FrameKind.POWER_ON: range(1),
    FrameKind.POWER_OFF: range(1),
    FrameKind.APDU: range(_MIN_APDU, MAX_COMMAND + 1),
}
_ANSWERS = {
    FrameKind.POWER_ON: FrameKind.DONE,
    FrameKind.POWER_OFF: FrameKind.DONE,
    FrameKind.APDU: FrameKind.RESPONSE,
}


class ReaderConversation:
    """The card's side of one connection: bytes in, questions out. It never holds more than one frame."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._open: DriverQuestion | None = None

    def receive(self, data: bytes) -> DriverQuestion | None:
        """The question that ``data`` completes, if it does; raise ``ProtocolError`` where the driver broke a rule."""
        if self._open is not None:
            raise ProtocolError("the driver spoke before it had its answer")
        self._received += data
        kind = self._received[0] if self._received else FrameKind.APDU
        if kind not in _BODY_SIZES:
            raise ProtocolError("a frame is of no kind that a driver sends")
        if len(self._received) < _HEADER:
            return None
        size = int.from_bytes(self._received[1:_HEADER], "big")
        if size not in _BODY_SIZES[kind]:
            raise ProtocolError("a frame has a length that its kind can't have")
        if len(self._received) < _HEADER + size:
            return None
        if len(self._received) > _HEADER + size:
            raise ProtocolError("the driver asked two questions at once")
        self._open = DriverQuestion(FrameKind(kind), bytes(self._received[_HEADER:]))
        self._received.clear()
        return self._open

    def answer(self, body: bytes = b"") -> bytes:
        """The frame that answers the open question."""
        if self._open is None:
            raise ProtocolError("there is no question to answer")
        kind, self._open = _ANSWERS[self._open.kind], None
        return _frame(kind, body)

    def waiting(self) -> bytes:
        """The frame that keeps the driver waiting."""
        return _frame(FrameKind.WAIT, b"")


def greeting(atr: bytes, *, pin_pad: bool) -> bytes:
    """The first frame of a connection."""
    return _frame(FrameKind.GREETING, bytes([VERSION, pin_pad]) + atr)


def _frame(kind: FrameKind, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(4, "big") + body
