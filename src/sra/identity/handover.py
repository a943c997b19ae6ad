"""A hand-over: a renewed TLS certificate says which one it replaces, and the old key has signed that.

It is an extension of the new certificate::

    2.25.234692077472601667220156123893352435423  HandOver ::= SEQUENCE {
        oldCertificate  OCTET STRING,   -- DER, with its own hand-over in it, if it has one
        signature       OCTET STRING }  -- by the old key, of the message below

The message is ``"sra-identity-hand-over-v1"``, a zero byte, SHA-256(old certificate), SHA-256(new
SubjectPublicKeyInfo). TLS 1.3 never signs such a one (its own begin with 64 spaces; RFC 8446, 4.4.3), so a remote's
handshakes can't be turned into a hand-over. Old certificates lie in each other, so a chain of them is walked back to
the one that an admin remembers; an admin that has seen a newer one can't be led back to an older.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.errors import UsageError
from sra.identity.x509_reading import MALFORMED, fingerprint
from sra.piv import tlv
from sra.piv.tlv import TlvError

OID = x509.ObjectIdentifier("2.25.234692077472601667220156123893352435423")
"""Of the UUID b0900cca-ee89-4634-83a0-041172090edf (ITU-T X.667), so that it needs no registration."""

MAX_HANDOVERS = 8
"""In one chain: each makes the certificate some 600 bytes longer, and a handshake should fit in the first packets. At a
lifetime of a year these are eight years."""

MAX_CERTIFICATE = 32 * 1024
"""Bytes of a certificate with all its hand-overs; a chain of the longest has 8 KiB with RSA keys of 4096 bits."""

_PURPOSE = b"sra-identity-hand-over-v1\x00"
_SEQUENCE, _OCTETS = 0x30, 0x04
_MIN_RSA_BITS = 2048

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class HandOver:
    """What stands in the extension, unverified."""

    old_certificate: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def extension(old_certificate: bytes, old_key: PrivateKey, new_key: ec.EllipticCurvePublicKey) -> x509.ExtensionType:
    """The extension for the certificate of ``new_key``; raise ``UsageError`` if the chain is as long as it may be."""
    if len(_chain(old_certificate)) >= MAX_HANDOVERS:
        raise UsageError(
            f"This identity was renewed {MAX_HANDOVERS} times. To make a new one, which every admin has to compare "
            "and trust, run: sra identity generate --force"
        )
    message = _message(old_certificate, _public_bytes(new_key))
    if isinstance(old_key, rsa.RSAPrivateKey):
        signature = old_key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = old_key.sign(message, ec.ECDSA(hashes.SHA256()))
    value = tlv.encode(_OCTETS, old_certificate) + tlv.encode(_OCTETS, signature)
    return x509.UnrecognizedExtension(OID, tlv.encode(_SEQUENCE, value))


def replaces(certificate: bytes, remembered: str) -> bool:
    """Whether the certificate (DER) was handed over to, in steps that are all signed, from the one remembered.

    ``remembered`` is that one's fingerprint. Nothing that is malformed raises: it hands nothing over.
    """
    for new, handed in _chain(certificate):
        if not _is_signed(new, handed):
            return False
        if fingerprint(handed.old_certificate) == remembered:
            return True
    return False


def _chain(certificate: bytes) -> list[tuple[bytes, HandOver]]:
    """The certificates, from the newest, each with its hand-over from the one before; at most ``MAX_HANDOVERS``."""
    chain: list[tuple[bytes, HandOver]] = []
    while len(chain) < MAX_HANDOVERS and (handed := _read(certificate)) is not None:
        chain.append((certificate, handed))
        certificate = handed.old_certificate
    return chain


def _read(certificate: bytes) -> HandOver | None:
    """The hand-over in a certificate; ``None`` if there is none that can be read."""
    if len(certificate) > MAX_CERTIFICATE:
        return None
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        value = parsed.extensions.get_extension_for_oid(OID).value.public_bytes()
        elements = tlv.parse(tlv.unwrap(_SEQUENCE, value))
    except (x509.ExtensionNotFound, TlvError, *MALFORMED):
        return None
    if [element.tag for element in elements] != [_OCTETS, _OCTETS]:
        return None
    return HandOver(elements[0].value, elements[1].value)


def _is_signed(new: bytes, handed: HandOver) -> bool:
    """Whether the old certificate's key signed the hand-over to the key of the new certificate."""
    try:
        key = x509.load_der_x509_certificate(handed.old_certificate).public_key()
        message = _message(handed.old_certificate, _public_bytes(x509.load_der_x509_certificate(new).public_key()))
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS and key.public_numbers().e > 2:
            key.verify(handed.signature, message, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(handed.signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except (InvalidSignature, *MALFORMED):
        return False
    return True


def _message(old_certificate: bytes, new_key: bytes) -> bytes:
    return _PURPOSE + hashlib.sha256(old_certificate).digest() + hashlib.sha256(new_key).digest()


def _public_bytes(key: object) -> bytes:
    """A public key as its SubjectPublicKeyInfo; raise ``ValueError`` for a kind that can't be handed over to."""
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise ValueError("a key of another kind")  # noqa: TRY004 - a certificate that is malformed, not a mistake
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
