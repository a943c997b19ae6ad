"""Command and response APDUs, short and extended, in all the cases of ISO 7816-3 section 12.1. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sra.errors import CardError, ProtocolError

MAX_SHORT_DATA = 255
MAX_SHORT_RESPONSE = 256
MAX_EXTENDED_DATA = 65_535
MAX_EXTENDED_RESPONSE = 65_536

_HEADER = 4
_STATUS = 2
_EXTENDED_LE = 2


class Instruction(IntEnum):
    """Instruction bytes (SP 800-73-4 part 2, table 4; ISO 7816-4 for GET RESPONSE)."""

    VERIFY = 0x20
    CHANGE_REFERENCE_DATA = 0x24
    RESET_RETRY_COUNTER = 0x2C
    GENERATE_KEY_PAIR = 0x47
    GENERAL_AUTHENTICATE = 0x87
    SELECT = 0xA4
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCB
    PUT_DATA = 0xDB


class Status(IntEnum):
    """Status words (ISO 7816-4 tables 5 and 6; SP 800-73-4 part 1, table 6)."""

    OK = 0x9000
    MORE_DATA = 0x6100
    TRIES_REMAINING = 0x63C0
    TIMED_OUT = 0x6400
    CANCELLED = 0x6401
    WRONG_LENGTH = 0x6700
    CHANNEL_NOT_SUPPORTED = 0x6881
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882
    CHAINING_NOT_SUPPORTED = 0x6884
    SECURITY_NOT_SATISFIED = 0x6982
    PIN_BLOCKED = 0x6983
    CONDITIONS_NOT_SATISFIED = 0x6985
    WRONG_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    NOT_FOUND = 0x6A82
    WRONG_PARAMETERS = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    INSTRUCTION_NOT_SUPPORTED = 0x6D00
    CLASS_NOT_SUPPORTED = 0x6E00
    UNKNOWN_ERROR = 0x6F00


class ApduError(ProtocolError):
    """These bytes are not an APDU."""


class StatusError(CardError):
    """A command ends, or ended, with this status word and no data."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The card answered {status:04X}.")
        self.status = status


@dataclass(frozen=True)
class Command:
    """A command APDU. ``expected`` is the most bytes that may come back: 0 where the command has no Le."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    expected: int = 0

    def __repr__(self) -> str:
        """The header and the sizes: the data may be a PIN or a key block, and never gets into a log."""
        header = f"{self.cla:02X} {self.ins:02X} {self.p1:02X} {self.p2:02X}"
        return f"Command({header}, {len(self.data)} bytes, expected {self.expected})"

    def encode(self) -> bytes:
        """The bytes of the command, short where that can hold it, otherwise extended."""
        header = bytes((self.cla, self.ins, self.p1, self.p2))
        short = len(self.data) <= MAX_SHORT_DATA and self.expected <= MAX_SHORT_RESPONSE
        size, most = (1, MAX_SHORT_RESPONSE) if short else (2, MAX_EXTENDED_RESPONSE)
        lc = len(self.data).to_bytes(size, "big") if self.data else b""
        le = (self.expected % most).to_bytes(size, "big") if self.expected else b""  # the most is written as 0
        return header + (b"" if short else b"\0") + lc + self.data + le


@dataclass(frozen=True)
class Response:
    """A response APDU."""

    data: bytes
    status: int

    def encode(self) -> bytes:
        """The bytes of the response."""
        return self.data + self.status.to_bytes(2, "big")


def parse_command(apdu: bytes) -> Command:
    """The command that ``apdu`` is; raise ``ApduError`` if its lengths contradict each other."""
    if len(apdu) < _HEADER:
        raise ApduError("a command APDU has at least 4 bytes")
    body = apdu[_HEADER:]
    extended = len(body) > 1 and body[0] == 0
    data, expected = _extended(body[1:]) if extended else _short(body)
    return Command(apdu[0], apdu[1], apdu[2], apdu[3], data, expected)


def parse_response(apdu: bytes) -> Response:
    """The response that ``apdu`` is; raise ``ApduError`` if it is too short to be one."""
    if len(apdu) < _STATUS:
        raise ApduError("a response APDU has at least 2 bytes")
    return Response(apdu[:-_STATUS], int.from_bytes(apdu[-_STATUS:], "big"))


def tries_remaining(attempts: int) -> int:
    """The status word for a PIN that is not verified, with so many tries left (0 to 15): 63Cx, or 6983 for none."""
    return Status.TRIES_REMAINING | attempts if attempts else Status.PIN_BLOCKED


def _short(body: bytes) -> tuple[bytes, int]:
    """Data and expected length of cases 1, 2S, 3S and 4S."""
    if not body:
        return b"", 0
    if len(body) == 1:
        return b"", body[0] or MAX_SHORT_RESPONSE
    data, le = body[1 : 1 + body[0]], body[1 + body[0] :]
    if len(data) != body[0] or len(le) > 1:
        raise ApduError("Lc does not fit the command's length")
    return data, (le[0] or MAX_SHORT_RESPONSE) if le else 0


def _extended(body: bytes) -> tuple[bytes, int]:
    """Data and expected length of cases 2E, 3E and 4E (``body`` without the leading 00)."""
    first, rest = int.from_bytes(body[:2], "big"), body[2:]
    if len(body) == _EXTENDED_LE:
        return b"", first or MAX_EXTENDED_RESPONSE
    data, le = rest[:first], rest[first:]
    if not first or len(data) != first or len(le) not in {0, _EXTENDED_LE}:
        raise ApduError("Lc does not fit the command's length")
    return data, (int.from_bytes(le, "big") or MAX_EXTENDED_RESPONSE) if le else 0
