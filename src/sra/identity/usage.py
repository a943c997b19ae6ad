"""What a card's certificate may be used for, as it says itself and as its authorities say.

Only a 9A key, or one that could be, authenticates. A key that decrypts for remotes must not authenticate: to
decrypt a block with RSA is to sign it, so a remote that borrowed the key would get a proof for another one
(docs/decisions/0022). Hence both sides look at the key usage: the remote lets no key in that may decrypt, the admin's
side has none decrypt that might be let in. For this, two extensions are read straight from the certificate, so that no
other one matters that a library would stumble over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cryptography import x509

from sra.errors import RefusalCode, RefusedError
from sra.identity.certificate_paths import ANY_POLICY, CertificatePath
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy
from sra.identity.x509_reading import extension, readable
from sra.piv import tlv

CARD_AUTHENTICATION = bytes.fromhex("6086480165030608")
"""id-PIV-cardAuth, 2.16.840.1.101.3.6.8 (FIPS 201-3, 4.2.2.1): 9E signs for any holder of the card, without a PIN."""

_BIT_STRING, _SEQUENCE, _EXTENSIONS = 0x03, 0x30, 0xA3
_KEY_USAGE, _EXTENDED_KEY_USAGE = bytes.fromhex("551d0f"), bytes.fromhex("551d25")
"""2.5.29.15 and 2.5.29.37."""
_DIGITAL_SIGNATURE = 0x80
"""In the first byte of the bits of a key usage (RFC 5280, 4.2.1.3)."""
_DECRYPTS = 0x20 | 0x10 | 0x08
"""There too: keyEncipherment, dataEncipherment, keyAgreement."""

_SIGNS_NOTHING = "is not meant for signatures (key usage), so it can't be used to authenticate."


def check_slot(card: CardCertificate, *, may_decrypt: bool = False) -> str:
    """Under every policy: what the key may do, in words; raise ``RefusedError`` (``USAGE``) if it may not authenticate.

    ``may_decrypt``: the remote's owner lets keys in that decrypt too. A certificate that says nothing may be of any
    slot (``says_its_use``). One that can't be read is refused (``CERTIFICATE``).
    """
    try:
        for identifier, value in _extensions(card.der):
            if identifier == _KEY_USAGE:
                _check_key_usage(value, may_decrypt=may_decrypt)
            elif identifier == _EXTENDED_KEY_USAGE:
                _check_not_card_authentication(value)
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
        raise _not_for_this(_SIGNS_NOTHING)
    if bits & _DECRYPTS and not may_decrypt:
        raise _not_for_this(
            "says that its key decrypts too (key usage). What a key decrypts for a remote may be a proof for another, "
            "so it authenticates nobody here."
        )


def _check_not_card_authentication(value: bytes) -> None:
    if CARD_AUTHENTICATION in [usage.value for usage in tlv.parse(tlv.unwrap(_SEQUENCE, value))]:
        raise _not_for_this(
            "is for card authentication (slot 9E), which works without a PIN, so it authenticates nobody."
        )


def _extensions(der: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The extensions (RFC 5280, 4.1): identifier and value; what is critical is passed over."""
    signed, *_ = tlv.parse(tlv.unwrap(_SEQUENCE, der))
    for field in tlv.parse(signed.value):
        if field.tag == _EXTENSIONS:
            for extension in tlv.parse(tlv.unwrap(_SEQUENCE, field.value)):
                identifier, *_, value = tlv.parse(extension.value)
                yield identifier.value, value.value


def _not_for_this(text: str) -> RefusedError:
    return _refused(f"{text} Use the card's 9A certificate.")


ANY_USAGE = "2.5.29.37.0"

_NAMES = {
    "1.3.6.1.5.5.7.3.2": "client authentication",
    "1.3.6.1.4.1.311.20.2.2": "smart card logon",
    "1.3.6.1.5.2.3.4": "PKINIT client",
    ANY_USAGE: "any purpose",
}

_OPENING = frozenset({"1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2", ANY_USAGE})
"""A certificate that opens an account is for one of these, or says nothing: names of a web server or a program's author
were never checked as those of a user."""


def check_purpose(card: CardCertificate, policy: CertificatePolicy) -> str:
    """Under every policy: what the certificate is for, in words; raise ``RefusedError`` if it isn't to open accounts.

    ``USAGE``, or ``CERTIFICATE`` where its extensions can't be read.
    """
    leaf = readable(lambda: x509.load_der_x509_certificate(card.der))
    own = _usages(leaf)
    if own is not None and not own & _OPENING:
        raise _refused(
            "is for another purpose (extended key usage), neither for client authentication nor for smart card logon. "
            "Use another card."
        )
    _check_extended(own, [], policy.extended_key_usages)
    return "for " + " and ".join(sorted(_NAMES.get(each, each) for each in own)) if own else "for any purpose"


def check_usage(path: CertificatePath, policy: CertificatePolicy) -> None:
    """Raise ``RefusedError`` (``USAGE``) unless the path's certificate, and its authorities, are for what is wanted.

    Key usage has to include digitalSignature where there is one (RFC 5280, 4.2.1.3).
    """
    leaf, authorities = path[0], path[1:-1]
    usage = extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise _refused(_SIGNS_NOTHING)
    _check_extended(_usages(leaf), authorities, policy.extended_key_usages)


def listed(policies: frozenset[str]) -> str:
    """Policies, in words."""
    return "any" if ANY_POLICY in policies else ", ".join(sorted(policies)) or "none"


def _check_extended(own: frozenset[str] | None, authorities: Sequence[x509.Certificate], wanted: Iterable[str]) -> None:
    """Every usage that is wanted has to be in the certificate; an authority that is limited has to allow it."""
    limits = [_usages(authority) for authority in authorities]
    for usage in sorted(wanted):
        name = _NAMES.get(usage, usage)
        if usage not in (own or ()):
            raise _refused(f"is not meant for {name} (extended key usage), which this remote wants. Use another card.")
        if any(limit is not None and not {usage, ANY_USAGE} & limit for limit in limits):
            raise _refused(f"comes from an authority that may not issue for {name} (extended key usage).")


def _usages(certificate: x509.Certificate) -> frozenset[str] | None:
    found = extension(certificate, x509.ExtendedKeyUsage)
    return None if found is None else frozenset(each.dotted_string for each in found)


def _refused(text: str) -> RefusedError:
    return RefusedError(RefusalCode.USAGE, f"The card's certificate {text}")
