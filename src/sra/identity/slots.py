"""Which slot a card's certificate says that it is of: only a 9A key, or one that could be, authenticates anybody.

A key that decrypts for remotes must not authenticate: to decrypt a block with RSA is to sign it, so a remote that
borrowed the key would get a proof for another one (docs/decisions/0022). Hence both sides look at the key usage: the
remote lets no key in that may decrypt, the admin's side has none decrypt that might be let in.

Two extensions are read, straight from the certificate, so that no other one matters that a library would stumble over.
"""

from __future__ import annotations

from collections.abc import Iterator

from sra.errors import RefusalCode, RefusedError
from sra.identity.certificates import CardCertificate
from sra.piv import tlv

CARD_AUTHENTICATION = bytes.fromhex("6086480165030608")
"""id-PIV-cardAuth, 2.16.840.1.101.3.6.8 (FIPS 201-3, 4.2.2.1): 9E signs for whoever holds the card, without a PIN."""

_BIT_STRING, _SEQUENCE, _EXTENSIONS = 0x03, 0x30, 0xA3
_KEY_USAGE, _EXTENDED_KEY_USAGE = bytes.fromhex("551d0f"), bytes.fromhex("551d25")
"""2.5.29.15 and 2.5.29.37."""
_DIGITAL_SIGNATURE = 0x80
"""In the first byte of the bits of a key usage (RFC 5280, 4.2.1.3)."""
_DECRYPTS = 0x20 | 0x10 | 0x08
"""There too: keyEncipherment, dataEncipherment, keyAgreement."""


def check_slot(card: CardCertificate, *, may_decrypt: bool = False) -> str:
    """Under every policy: what the key may do, in words; raise ``RefusedError`` (``USAGE``) if it authenticates nobody.

    ``may_decrypt``: the remote's owner lets keys in that decrypt too. A certificate that says nothing may be of any
    slot (``says_its_use``). One that can't be read is refused (``CERTIFICATE``).
    """
    try:
        for identifier, value in _extensions(card.der):
            if identifier == _KEY_USAGE:
                _check_key_usage(value, may_decrypt=may_decrypt)
            elif identifier == _EXTENDED_KEY_USAGE:
                _check_extended(value)
    except (tlv.TlvError, ValueError) as error:
        text = "The card's certificate does not say in a readable way what its key is for. Use another card."
        raise RefusedError(RefusalCode.CERTIFICATE, text) from error
    return "its key may authenticate"


def says_its_use(card: CardCertificate) -> bool:
    """Whether there is a key usage. Without, the key may be one that decrypts: then only a pairing of root's counts."""
    return bool(_key_usages(card.der))


def only_decrypts(der: bytes) -> bool:
    """Whether a certificate says that its key does not sign, so that no remote takes it for a proof of anything."""
    usages = _key_usages(der)
    return bool(usages) and not any(bits & _DIGITAL_SIGNATURE for bits in usages)


def _key_usages(der: bytes) -> list[int]:
    """The first byte of each key usage (there should be one); none for a certificate that can't be read."""
    try:
        found = [value for identifier, value in _extensions(der) if identifier == _KEY_USAGE]
        return [_bits(value) for value in found]
    except (tlv.TlvError, ValueError):
        return []


def _bits(value: bytes) -> int:
    return int.from_bytes(tlv.unwrap(_BIT_STRING, value)[1:2], "big")


def _check_key_usage(value: bytes, *, may_decrypt: bool) -> None:
    bits = _bits(value)
    if not bits & _DIGITAL_SIGNATURE:
        raise _refused("is not meant for signatures (key usage), so it can't authenticate anybody.")
    if bits & _DECRYPTS and not may_decrypt:
        raise _refused(
            "says that its key decrypts too (key usage). What a key decrypts for a remote may be a proof for another, "
            "so it authenticates nobody here."
        )


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


def _refused(text: str) -> RefusedError:
    return RefusedError(RefusalCode.USAGE, f"The card's certificate {text} Use the card's 9A certificate.")
