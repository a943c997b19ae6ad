"""The data objects of a PIV card (SP 800-73-4 part 1, sections 3 and 4 and table 3). No I/O."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import msgspec

from sra.errors import CardError
from sra.piv import tlv
from sra.piv.keys import KeyDescription, Slot

PIV_AID = bytes.fromhex("A000000308000010000100")
"""The PIV card application's AID with its version (SP 800-73-4 part 1, section 2.2)."""

ATR = bytes.fromhex("3B8D800180FBA000000308000010000100CD")
"""T=1, historical bytes = the PIV AID: OpenSC takes it for PIV with EC keys and random numbers; others it may not."""

CARD_CAPABILITY_CONTAINER = 0x5FC107
CHUID = 0x5FC102
KEY_HISTORY = 0x5FC10C
DISCOVERY = 0x7E

CERTIFICATES: dict[Slot, int] = {
    Slot.AUTHENTICATION: 0x5FC105,
    Slot.SIGNATURE: 0x5FC10A,
    Slot.KEY_MANAGEMENT: 0x5FC10B,
    Slot.CARD_AUTHENTICATION: 0x5FC101,
} | {Slot(0x82 + number): 0x5FC10D + number for number in range(20)}

MAX_CERTIFICATE = 16_384
"""Bytes of a certificate after decompression: twice what an object can hold as it is. A small object that unpacks to
gigabytes stops here."""

MAX_OBJECT = 8192
"""Bytes of one object: a certificate container is at most 1,905 in SP 800-73-4; cards with longer chains exist."""

GUID_SIZE = 16
MAX_RETIRED = 20


class CardContents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What any program may read of a card, and which keys it has.

    ``objects`` maps a data object's tag (``CHUID``, ``CERTIFICATES[...]`` ...) to what is inside its template 53
    (7E for the discovery object).
    """

    objects: dict[int, bytes]
    keys: tuple[KeyDescription, ...]


def certificate_in(container: bytes) -> bytes:
    """The DER certificate in a certificate object, decompressed if need be (part 1, appendix A, table 10).

    Raises ``CardError`` if there is none.
    """
    found = tlv.fields(container)
    stored = found.get(_CERTIFICATE, b"")
    if not stored:
        raise CardError("The card holds no certificate in this slot.")
    info = found.get(_CERT_INFO, _UNCOMPRESSED)
    return _decompress(stored) if info and info[0] & _COMPRESSED else stored


def _decompress(stored: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        # Never more than the limit is unpacked, however much the compressed bytes stand for.
        certificate = unpacker.decompress(stored, MAX_CERTIFICATE)
    except zlib.error as error:
        raise CardError("The card's compressed certificate is damaged.") from error
    if not unpacker.eof:
        raise CardError(f"The card's compressed certificate is cut short, or longer than {MAX_CERTIFICATE} bytes.")
    return certificate


def build_certificate(certificate: bytes) -> bytes:
    """A certificate object that holds the DER ``certificate`` as it is."""
    return tlv.encode(_CERTIFICATE, certificate) + tlv.encode(_CERT_INFO, _UNCOMPRESSED) + tlv.encode(_ERROR_DETECTION)


@dataclass(frozen=True)
class KeyHistory:
    """How many retired keys there are (part 1, table 19): with certificates on the card, and elsewhere at ``url``."""

    on_card: int
    off_card: int = 0
    url: str = ""


def parse_key_history(container: bytes) -> KeyHistory:
    """The key history in a ``KEY_HISTORY`` object; raise ``CardError`` if it is damaged."""
    found = tlv.fields(container)
    on_card = int.from_bytes(found.get(_ON_CARD, b""), "big")
    off_card = int.from_bytes(found.get(_OFF_CARD, b""), "big")
    if on_card + off_card > MAX_RETIRED:
        raise CardError("The card's key history counts more keys than a card can have.")
    return KeyHistory(on_card, off_card, found.get(_URL, b"").decode("ascii", "replace"))


def build_key_history(history: KeyHistory) -> bytes:
    """A ``KEY_HISTORY`` object; the URL is there only where a certificate is off the card (part 1, section 3.3.3)."""
    url = tlv.encode(_URL, history.url.encode("ascii")) if history.off_card else b""
    counts = tlv.encode(_ON_CARD, bytes([history.on_card])) + tlv.encode(_OFF_CARD, bytes([history.off_card]))
    return counts + url + tlv.encode(_ERROR_DETECTION)


def guid_of(chuid: bytes) -> bytes | None:
    """The card's GUID (16 bytes) in a ``CHUID`` object, or ``None``: missing, all zero, or the object is damaged."""
    try:
        guid = tlv.fields(chuid).get(_GUID, b"")
    except tlv.TlvError:
        return None
    return guid if len(guid) == GUID_SIZE and any(guid) else None


def build_chuid(guid: bytes) -> bytes:
    """A ``CHUID`` object for a card that is not of a federal agency: no agency in its FASC-N, no signature."""
    return (
        tlv.encode(_FASC_N, _NO_AGENCY)
        + tlv.encode(_GUID, guid)
        + tlv.encode(_EXPIRATION, _NEVER_EXPIRES)
        + tlv.encode(_SIGNATURE)
        + tlv.encode(_ERROR_DETECTION)
    )


def build_card_capability_container(guid: bytes) -> bytes:
    """A ``CARD_CAPABILITY_CONTAINER`` object (part 1, table 8) whose card identifier is made of ``guid``."""
    identifier = _GSC_RID + _JAVA_CARD + guid[:_CARD_ID_SIZE]
    values = {0xF0: identifier, 0xF1: b"\x21", 0xF2: b"\x21", 0xF3: b"", 0xF4: b"\x00", 0xF5: b"\x10"}
    empty = dict.fromkeys((0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, _ERROR_DETECTION), b"")
    return b"".join(tlv.encode(tag, value) for tag, value in (values | empty).items())


def build_discovery() -> bytes:
    """What is inside a ``DISCOVERY`` object: the AID, and no PIN but the application PIN (part 1, section 3.3.2)."""
    return tlv.encode(_APPLICATION_ID, PIV_AID) + tlv.encode(_PIN_USAGE_POLICY, _APPLICATION_PIN_ONLY)


_ERROR_DETECTION = 0xFE

_CERTIFICATE = 0x70
_CERT_INFO = 0x71
_UNCOMPRESSED = b"\x00"
_COMPRESSED = 0x81
"""CertInfo's compression bit: 01, or 80 on cards made when the standard could be read as counting from the left."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS

_ON_CARD = 0xC1
_OFF_CARD = 0xC2
_URL = 0xF3

_FASC_N = 0x30
_GUID = 0x34
_EXPIRATION = 0x35
_SIGNATURE = 0x3E
_NO_AGENCY = bytes.fromhex("D4E739DA739CED39CE739D836858210842108421C84210C3EB")
"""FASC-N with agency 9999, system 9999, credential 999999: not issued by a federal agency (SP 800-73-4 appendix)."""
_NEVER_EXPIRES = b"20991231"

_GSC_RID = bytes.fromhex("A000000116")
_JAVA_CARD = bytes.fromhex("FF02")
_CARD_ID_SIZE = 14

_APPLICATION_ID = 0x4F
_PIN_USAGE_POLICY = 0x5F2F
_APPLICATION_PIN_ONLY = bytes.fromhex("4000")
