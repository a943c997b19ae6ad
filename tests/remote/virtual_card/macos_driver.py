"""A stand-in for the PIV driver that is built into macOS, to check a card with where there is no Mac.

It sends the commands that Apple's published sample (TP40017285, 2016) is described to send, in that order, and takes or
refuses the answers as it does. Not Apple's code.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from sra.piv import tlv
from sra.piv.apdu import Command, Response, Status
from sra.piv.chaining import CommandSplitter, DirectSender, ResponseJoiner
from sra.piv.keys import Slot
from sra.piv.objects import CHUID, KEY_HISTORY, PIV_AID

ABSENT = (Status.OK, Status.NOT_FOUND, Status.WRONG_DATA)
"""What the driver takes, without data, for an object that isn't there; every other answer makes it drop the card."""

FIXED_SLOTS = {
    Slot.AUTHENTICATION: 0x5FC105,
    Slot.CARD_AUTHENTICATION: 0x5FC101,
    Slot.SIGNATURE: 0x5FC10A,
    Slot.KEY_MANAGEMENT: 0x5FC10B,
}


class DriverError(Exception):
    """The driver would not take this card, or this answer."""


class ObjectAbsentError(DriverError):
    """The card has no such object."""


@dataclass(frozen=True)
class FoundCard:
    """What the driver makes of a card."""

    instance: str
    certificates: dict[int, bytes]


class MacosDriver:
    """Drives one card through ``transmit``: command bytes in, response bytes out."""

    def __init__(self, transmit: Callable[[bytes], bytes]) -> None:
        self._sender = ResponseJoiner(CommandSplitter(DirectSender(transmit)))

    def find(self) -> FoundCard:
        """Select PIV and read everything; raise ``DriverError`` where macOS would not show the card."""
        if self._send(0xA4, 0x04, 0x00, PIV_AID).status != Status.OK:
            raise DriverError("no PIV application")
        instance = self._object(CHUID).get(0x34, b"")
        if not instance:
            raise DriverError("CHUID has no GUID")
        retired = {0x82 + number: 0x5FC10D + number for number in range(self._retired())}
        found = {key: self._certificate(tag) for key, tag in ({**FIXED_SLOTS} | retired).items()}
        return FoundCard(instance.hex().upper(), {key: der for key, der in found.items() if der})

    def verify(self, pin: bytes) -> int:
        """The status word of VERIFY."""
        return self._send(0x20, 0x00, 0x80, pin.ljust(8, b"\xff")).status

    def sign(self, algorithm: int, key: int, block: bytes) -> bytes:
        """Sign or decrypt a block, or sign a digest."""
        return self._authenticate(algorithm, key, 0x81, block)

    def derive(self, algorithm: int, key: int, point: bytes) -> bytes:
        """The shared secret with the owner of ``point``."""
        return self._authenticate(algorithm, key, 0x85, point)

    def _send(self, ins: int, p1: int, p2: int, data: bytes) -> Response:
        return self._sender.send(Command(0x00, ins, p1, p2, data, 256))

    def _object(self, tag: int) -> dict[int, bytes]:
        response = self._send(0xCB, 0x3F, 0xFF, tlv.encode(0x5C, tag.to_bytes(3, "big")))
        if not response.data:
            raise ObjectAbsentError if response.status in ABSENT else DriverError(f"{tag:X}: {response.status:04X}")
        return tlv.fields(tlv.unwrap(0x53, response.data))

    def _retired(self) -> int:
        try:
            return self._object(KEY_HISTORY).get(0xC1, b"\0")[0]
        except ObjectAbsentError:
            return 0

    def _certificate(self, tag: int) -> bytes:
        try:
            found = self._object(tag)
        except ObjectAbsentError:
            return b""
        stored = found.get(0x70, b"")
        return zlib.decompress(stored, 47) if found.get(0x71, b"\0")[0] & 1 else stored

    def _authenticate(self, algorithm: int, key: int, field: int, data: bytes) -> bytes:
        template = tlv.encode(0x7C, tlv.encode(0x82) + tlv.encode(field, data))
        response = self._send(0x87, algorithm, key, template)
        if not response.data:
            raise DriverError(f"GENERAL AUTHENTICATE: {response.status:04X}")
        return tlv.unwrap(0x82, tlv.unwrap(0x7C, response.data))
