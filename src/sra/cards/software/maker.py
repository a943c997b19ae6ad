"""Making a software card: its keys, and their certificates, self-signed or issued by an authority."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from sra.cards.piv_defaults import check_new_pin
from sra.cards.software import software_keys
from sra.cards.software.file import CardFile, StoredKey
from sra.cards.software.software_keys import PrivateKey
from sra.cards.software.vault import new_secret, seal_key, set_codes
from sra.errors import UsageError
from sra.piv.keys import Algorithm, Operation, Slot, purpose

_UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""otherName "NT Principal Name": the account name that login rules map."""

_MAX_UPN = 127
"""Bytes: as many as a length of one byte counts, and more than any login name has."""

_CARD_AUTHENTICATION = ObjectIdentifier("2.16.840.1.101.3.6.8")
"""id-PIV-cardAuth (FIPS 201-3, section 4.2.2.1)."""

_CLOCK_SKEW = timedelta(minutes=5)
"""A new certificate is valid from a little before now, for remotes whose clock is behind."""

_EXTENDED_USAGES: dict[Slot, list[ObjectIdentifier]] = {
    Slot.AUTHENTICATION: [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SMARTCARD_LOGON],
    Slot.SIGNATURE: [ExtendedKeyUsageOID.EMAIL_PROTECTION],
    Slot.KEY_MANAGEMENT: [ExtendedKeyUsageOID.EMAIL_PROTECTION],
    Slot.CARD_AUTHENTICATION: [_CARD_AUTHENTICATION],
}


@dataclass(frozen=True)
class CardHolder:
    """Whose card it is: ``email`` and ``upn`` are empty where the certificate shall not have them."""

    subject: x509.Name
    email: str = ""
    upn: str = ""


@dataclass(frozen=True)
class Issuer:
    """A certificate authority with its key."""

    certificate: x509.Certificate
    private: CertificateIssuerPrivateKeyTypes


@dataclass(frozen=True)
class Validity:
    """From when and until when."""

    start: datetime
    end: datetime


def parse_subject(text: str) -> x509.Name:
    """The name from ``CN=Ann,O=Example`` (RFC 4514), or from a plain common name; raise ``UsageError``."""
    try:
        return x509.Name.from_rfc4514_string(text if "=" in text else f"CN={text}")
    except ValueError as error:
        raise UsageError(f"{text!r} is no name: write a plain name, or parts such as CN=Ann,O=Example.") from error


def load_issuer(certificate: bytes, private: bytes) -> Issuer:
    """The authority from its PEM files; raise ``UsageError`` if they can't be read or don't belong together."""
    try:
        authority = x509.load_pem_x509_certificate(certificate)
        key = serialization.load_pem_private_key(private, password=None)
    except TypeError as error:
        raise UsageError("The authority's key is encrypted; give a decrypted copy: `openssl pkey -in KEY`.") from error
    except ValueError as error:
        raise UsageError("The authority's certificate and key have to be PEM files.") from error
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)):
        raise UsageError("The authority's key has to be an RSA, elliptic-curve or Ed25519 key.")
    if key.public_key() != authority.public_key():
        raise UsageError("The authority's key does not belong to its certificate.")
    return Issuer(authority, key)


def validity(now: datetime, days: int) -> Validity:
    """From a little before ``now`` for ``days`` days; raise ``UsageError`` outside 1 to 36,500."""
    if not 1 <= days <= 36_500:
        raise UsageError("A certificate is valid for 1 to 36500 days.")
    return Validity(now - _CLOCK_SKEW, now + timedelta(days=days))


def issue(slot: Slot, private: PrivateKey, holder: CardHolder, issuer: Issuer | None, valid: Validity) -> bytes:
    """The certificate (DER) of a slot's key, with the usages of that slot (SP 800-73-4 part 1, table 4b)."""
    authority = issuer.certificate.subject if issuer else holder.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(holder.subject)
        .issuer_name(authority)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid.start)
        .not_valid_after(valid.end)
    )
    for extension, critical in _extensions(slot, private, holder, issuer):
        builder = builder.add_extension(extension, critical)
    signer = issuer.private if issuer else private
    return builder.sign(signer, _digest(signer)).public_bytes(serialization.Encoding.DER)


def _extensions(
    slot: Slot, private: PrivateKey, holder: CardHolder, issuer: Issuer | None
) -> list[tuple[x509.ExtensionType, bool]]:
    public = private.public_key()
    signer = issuer.private.public_key() if issuer else public
    usages = _EXTENDED_USAGES.get(slot, [ExtendedKeyUsageOID.EMAIL_PROTECTION])
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(slot, isinstance(private, rsa.RSAPrivateKey)), True),
        (x509.ExtendedKeyUsage(usages), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), False),
    ]
    names = _other_names(holder)
    return [*found, (x509.SubjectAlternativeName(names), False)] if names else found


def _key_usage(slot: Slot, is_rsa: bool) -> x509.KeyUsage:
    """One purpose a key: only 9C also binds its holder (nonRepudiation), which logins avoid."""
    operation = purpose(slot, Algorithm.RSA_2048 if is_rsa else Algorithm.P256)
    return x509.KeyUsage(
        digital_signature=operation is Operation.SIGN,
        content_commitment=slot is Slot.SIGNATURE,
        key_encipherment=operation is Operation.DECRYPT,
        data_encipherment=False,
        key_agreement=operation is Operation.DERIVE,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _other_names(holder: CardHolder) -> list[x509.GeneralName]:
    """The subject alternative names; raise ``UsageError`` for one that a certificate can't hold."""
    names: list[x509.GeneralName] = []
    if holder.email:
        try:
            names.append(x509.RFC822Name(holder.email))
        except ValueError as error:
            text = f"{holder.email!r} is no e-mail address that a certificate can hold; write it in ASCII."
            raise UsageError(text) from error
    if holder.upn:
        encoded = holder.upn.encode()
        if len(encoded) > _MAX_UPN:
            raise UsageError(f"The user principal name is too long: at most {_MAX_UPN} bytes.")
        names.append(x509.OtherName(_UPN, bytes([0x0C, len(encoded)]) + encoded))  # DER: a UTF8String
    return names


def _digest(signer: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | hashes.SHA384 | None:
    if isinstance(signer, ed25519.Ed25519PrivateKey):
        return None
    is_long = isinstance(signer, ec.EllipticCurvePrivateKey) and signer.curve.key_size > 256
    return hashes.SHA384() if is_long else hashes.SHA256()


_PUK_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without 0, O, 1 and I, which people take for one another: 40 bits in 8 characters."""


@dataclass(frozen=True)
class CardOrder:
    """The card that is wanted; without an ``issuer`` its certificates are self-signed."""

    algorithms: dict[Slot, Algorithm]
    holder: CardHolder
    issuer: Issuer | None
    valid: Validity


def new_puk() -> bytes:
    """A random PUK of 8 characters."""
    return "".join(secrets.choice(_PUK_LETTERS) for _ in range(8)).encode()


def make(order: CardOrder, pin: bytes, puk: bytes) -> CardFile:
    """A new card with a random GUID; raise ``UsageError`` for a PIN that can't be one. Blocks for up to seconds."""
    check_new_pin(pin)
    guid, secret = uuid.uuid4().bytes, new_secret()
    made = []
    for slot, algorithm in sorted(order.algorithms.items()):
        private = software_keys.generate(algorithm)
        certificate = issue(slot, private, order.holder, order.issuer, order.valid)
        made.append(seal_key(StoredKey(slot, algorithm, certificate, software_keys.encode(private)), guid, secret))
    pin_code, puk_code = set_codes(guid, secret, pin, puk)
    return CardFile(version=1, guid=guid, pin=pin_code, puk=puk_code, keys=tuple(made))
