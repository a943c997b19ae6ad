"""Which slot a card's certificate says that it is of: only a 9A key, or one that could be, authenticates anybody.

Two extensions are read, straight from the certificate, so that no other one matters that a library would stumble over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sra.errors import RefusalCode, RefusedError
from sra.identity.certificates import CardCertificate
from sra.piv import tlv

CARD_AUTHENTICATION = bytes.fromhex("6086480165030608")
"""id-PIV-cardAuth, 2.16.840.1.101.3.6.8 (FIPS 201-3, 4.2.2.1): 9E signs for whoever holds the card, without a PIN."""

_BIT_STRING, _SEQUENCE, _EXTENSIONS = 0x03, 0x30, 0xA3
_DIGITAL_SIGNATURE = 0x80
"""In the first byte of the bits of a key usage (RFC 5280, 4.2.1.3)."""


def check_slot(card: CardCertificate) -> str:
    """Under every policy: what the key may do, in words; raise ``RefusedError`` (``USAGE``) if it authenticates nobody.

    A certificate that says nothing may be of any slot. One that can't be read is refused (``CERTIFICATE``).
    """
    try:
        for identifier, value in _extensions(card.der):
            _CHECKS.get(identifier, _pass)(value)
    except (tlv.TlvError, ValueError) as error:
        text = "The card's certificate does not say in a readable way what its key is for. Use another card."
        raise RefusedError(RefusalCode.CERTIFICATE, text) from error
    return "its key may authenticate"


def _pass(_: bytes) -> None:
    """Says nothing about the key."""


def _check_key_usage(value: bytes) -> None:
    bits = tlv.unwrap(_BIT_STRING, value)[1:]
    if not bits or not bits[0] & _DIGITAL_SIGNATURE:
        raise _refused("is not meant for signatures (key usage), so it can't authenticate anybody.")


def _check_extended(value: bytes) -> None:
    if CARD_AUTHENTICATION in [usage.value for usage in tlv.parse(tlv.unwrap(_SEQUENCE, value))]:
        raise _refused("is for card authentication (slot 9E), which works without a PIN, so it authenticates nobody.")


def _extensions(der: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The extensions (RFC 5280, 4.1): identifier and value; what is critical is passed over."""
    signed, *_ = tlv.parse(tlv.unwrap(_SEQUENCE, der))
    for field in tlv.parse(signed.value):
        if field.tag == _EXTENSIONS:
            for extension in tlv.parse(tlv.unwrap(_SEQUENCE, field.value)):
                identifier, *_, value = tlv.parse(extension.value)
                yield identifier.value, value.value


_CHECKS: dict[bytes, Callable[[bytes], None]] = {
    bytes.fromhex("551d0f"): _check_key_usage,
    bytes.fromhex("551d25"): _check_extended,
}
"""By the identifiers 2.5.29.15 and 2.5.29.37."""


def _refused(text: str) -> RefusedError:
    return RefusedError(RefusalCode.USAGE, f"The card's certificate {text} Use the card's 9A certificate.")
