"""X.509 as everything here reads it: malformed bytes, names, fingerprints, and signatures that count."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.errors import RefusalCode, RefusedError, UsageError
from sra.logs import clean

if TYPE_CHECKING:
    from asn1crypto import x509 as asn1

MALFORMED = (
    ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm,
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.AttributeNotFound,
)  # fmt: skip
"""What the X.509 library raises for bytes that it can't make sense of."""

MAX_NAME = 1024
"""Bytes of a name that is compared as text: the longest in the field have some 300. 16 KiB, which a stranger's
certificate could have, take 0.3 s."""

_LOST = re.compile("[\ufe10-\ufefe]")
"""Letters, Arabic ones among them, that the library maps to nothing together with variation selectors (RFC 4518, 2.2
has only FE00 to FE0F)."""

PREFIX = "SHA256:"

MIN_RSA_BITS = 2048

Scheme = padding.PKCS1v15 | padding.PSS | ec.ECDSA

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""SHA-1 is forgeable, so it is not here."""

_T = TypeVar("_T")
_E = TypeVar("_E", bound=x509.ExtensionType)


def readable(read: Callable[[], _T], problem: str = "This is not a certificate that can be read") -> _T:
    """What ``read`` returns; raise ``RefusedError`` for anything that the library says of malformed bytes."""
    try:
        return read()
    except MALFORMED as error:
        raise RefusedError(RefusalCode.CERTIFICATE, f"{problem} (X.509).") from error


def extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    """The certificate's extension of this kind, if it has one; raise ``RefusedError`` if it can't be read."""
    return extension_among(readable(lambda: certificate.extensions), kind)


def extension_among(extensions: Iterable[x509.Extension[x509.ExtensionType]], kind: type[_E]) -> _E | None:
    """The extension of this kind, if it is there."""
    return next((each.value for each in extensions if isinstance(each.value, kind)), None)


def day(moment: datetime) -> str:
    """A moment as people read it in a refusal."""
    return moment.astimezone(UTC).date().isoformat()


@functools.lru_cache(maxsize=4096)
def comparable(name: x509.Name) -> str:
    """A value that two names have in common exactly when they are the same name (RFC 4518).

    A name with a value that isn't text or can't be compared as such, or that is very long, is the same only byte by
    byte. The values are prepared by the library and put together here: its own value for a whole name keeps one value
    only of a part that has several of a type.
    """
    from asn1crypto import x509 as asn1  # noqa: PLC0415 - 60 ms, that a command without certificates need not wait for

    der = name.public_bytes()
    try:
        if len(der) <= MAX_NAME:
            return "\x1e".join("\x1f".join(sorted(map(_prepared, part))) for part in asn1.Name.load(der).chosen)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    return f"der:{der.hex()}"


def _prepared(pair: asn1.NameTypeAndValue) -> str:
    """Type and value, without the separators: preparing a value removes control characters."""
    if _LOST.search(pair["value"].native):
        raise ValueError("the library would drop letters")
    return f"{pair['type'].native}: {pair.prepped_value}"


def is_same(one: x509.Name, other: x509.Name) -> bool:
    """Whether these are the same name."""
    return one == other or comparable(one) == comparable(other)


def shown(name: x509.Name) -> str:
    """A name from a certificate, safe to show: its common name, or else all of it."""
    common = [str(each.value) for each in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return clean(common[0] if common else name.rfc4514_string() or "(no name)", 100)


def fingerprint(certificate: bytes) -> str:
    """The fingerprint of a certificate (DER): its SHA-256, as ``SHA256:AB:CD:…`` (102 characters)."""
    return PREFIX + hashlib.sha256(certificate).digest().hex(":").upper()


def parse_fingerprint(text: str) -> str:
    """A fingerprint that the user typed, in its one form; prefix, colons and capitals may be missing.

    Raises ``UsageError`` if it is not 32 bytes in hexadecimal.
    """
    digits = text.strip().upper().removeprefix(PREFIX).replace(":", "")
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise UsageError(f"“{clean(text)}” is not a fingerprint. On the remote, “sra identity show” prints it.")
    return PREFIX + digest.hex(":").upper()


def public_bytes(certificate: x509.Certificate) -> bytes:
    """The certificate's key, in DER (SubjectPublicKeyInfo)."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def is_same_key(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Whether both are of the same authority: its name and its key."""
    try:
        return is_same(one.subject, other.subject) and public_bytes(one) == public_bytes(other)
    except MALFORMED:
        return False


def has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the key of the one has signed the other."""
    key, signature, signed = issuer.public_key(), certificate.signature, certificate.tbs_certificate_bytes
    digest, scheme = certificate.signature_hash_algorithm, certificate.signature_algorithm_parameters
    try:
        if isinstance(key, rsa.RSAPublicKey) and isinstance(scheme, padding.PKCS1v15 | padding.PSS) and digest:
            key.verify(signature, signed, scheme, digest)
            return is_of_full_length(signature, key)
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(scheme, ec.ECDSA):
            key.verify(signature, signed, scheme)
            return True
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and scheme is None:
            key.verify(signature, signed)
            return True
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return False


def is_signed(
    signed: bytes,
    signature: bytes,
    scheme: Scheme | None,
    digest: hashes.HashAlgorithm | None,
    signer: x509.Certificate,
) -> bool:
    """Whether the signer's key made this signature, in a way that counts."""
    key = signer.public_key()
    if not isinstance(digest, _HASHES):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey) and isinstance(scheme, padding.PKCS1v15 | padding.PSS):
            key.verify(signature, signed, scheme, digest)
            return is_of_full_length(signature, key) and key.key_size >= MIN_RSA_BITS
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(scheme, ec.ECDSA):
            key.verify(signature, signed, ec.ECDSA(digest))
            return True
    except InvalidSignature:
        return False
    return False


def is_of_full_length(signature: bytes, key: rsa.RSAPublicKey) -> bool:
    """Whether an RSA signature is as long as the modulus (RFC 8017, 8.1.2 and 8.2.2), so that it has one form only.

    Without this, one that begins with a zero byte, as one in 256 does, would be right without that byte too.
    """
    return len(signature) == (key.key_size + 7) // 8


def is_strong(certificate: x509.Certificate) -> bool:
    """Whether a certificate is signed with a hash that counts."""
    return isinstance(certificate.signature_hash_algorithm, _HASHES)
