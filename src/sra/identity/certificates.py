"""A card's certificate: unverified bytes in, a value out that holds only what could be read and can be used.

Nothing here says that it is genuine: the proof shows that the card has its key, the pairing says whose it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.errors import RefusalCode, RefusedError
from sra.identity.x509_reading import day, fingerprint, readable
from sra.logs import clean
from sra.piv.keys import Algorithm

MAX_CERTIFICATE = 16 * 1024
"""Bytes of a certificate, DER or PEM: a PIV container holds 1,905 (SP 800-73-4 part 1, table 9); the longest seen in
the field, with many names and policies, are below 8 KiB. More would only be work for a stranger to make."""

MAX_NAME = 64
"""Characters of a display name (X.520 bounds a common name at 64)."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey
HashName = Literal["sha1", "sha256"]

_RSA_SIZES = {2048: Algorithm.RSA_2048, 3072: Algorithm.RSA_3072, 4096: Algorithm.RSA_4096}
_CURVES = {"secp256r1": Algorithm.P256, "secp384r1": Algorithm.P384}
_DIGESTS = {"sha1": lambda data: hashlib.sha1(data, usedforsecurity=False), "sha256": hashlib.sha256}
MAX_SERIAL_BITS = 160
"""Of a serial number, which is positive: 20 octets (RFC 5280, 4.1.2.2)."""
_FIELDS: tuple[tuple[str, Callable[[x509.Certificate], object]], ...] = (
    ("version", lambda certificate: certificate.version),
    ("signature algorithm", lambda certificate: certificate.signature_algorithm_oid),
    ("issuer", lambda certificate: certificate.issuer.rfc4514_string()),
    ("subject", lambda certificate: certificate.subject.rfc4514_string()),
    ("dates", lambda certificate: (certificate.not_valid_before_utc, certificate.not_valid_after_utc)),
    ("extensions", lambda certificate: tuple(certificate.extensions)),
)
"""Every field that the library puts off reading. All are read at the door: a certificate that passes can't fail later,
in the middle of the work for other cards (RFC 5280, 4.1)."""


@dataclass(frozen=True)
class CardCertificate:
    """A certificate that was read. Two are equal if their bytes are.

    ``subject`` is in the form of RFC 4514 and as its issuer wrote it: show ``display_name`` to people. ``key_bytes`` is
    what is inside the subjectPublicKey BIT STRING (RFC 5280, 4.1.2.7): PKCS#1 for RSA, ``04 X Y`` for a curve.
    """

    der: bytes = field(repr=False)
    subject: str = field(compare=False)
    common_name: str = field(compare=False, repr=False)
    not_before: datetime = field(compare=False)
    not_after: datetime = field(compare=False)
    algorithm: Algorithm = field(compare=False)
    public_key: PublicKey = field(compare=False, repr=False)
    key_bytes: bytes = field(compare=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, as ``SHA256:AB:CD:…``."""
        return fingerprint(self.der)

    @property
    def display_name(self) -> str:
        """Its common name, or else its subject, safe on a terminal and in a log; at most 64 characters."""
        return clean(self.common_name or self.subject or "(no name)", MAX_NAME)

    def public_key_hash(self, name: HashName) -> str:
        """``sha1:HEX`` or ``sha256:HEX`` of the public key, as in a pairing."""
        return f"{name}:{_DIGESTS[name](self.key_bytes).hexdigest()}"

    def check_validity(self, now: datetime) -> None:
        """Raise ``RefusedError`` (``EXPIRED``) if ``now`` (with a time zone) is outside its dates."""
        problem = ""
        if now < self.not_before:
            problem = f"is not valid before {day(self.not_before)}. Check the clocks, or use another card."
        if now > self.not_after:
            problem = f"expired on {day(self.not_after)}. Ask its issuer for a new one."
        if problem:
            raise RefusedError(RefusalCode.EXPIRED, f"The card's certificate {problem}")


def parse(der: bytes) -> CardCertificate:
    """The certificate in ``der``; raise ``RefusedError`` (``CERTIFICATE``) if it can't be read or used."""
    if len(der) > MAX_CERTIFICATE:
        raise _refused(f"The certificate is longer than {MAX_CERTIFICATE} bytes.")
    certificate = readable(lambda: x509.load_der_x509_certificate(der))
    for name, read in _FIELDS:
        readable(partial(read, certificate), f"The certificate's {name} can't be read")
    if not 0 < certificate.serial_number < 1 << MAX_SERIAL_BITS:
        raise _refused("The certificate's serial number is not positive, or longer than 20 bytes (RFC 5280, 4.1.2.2).")
    return readable(lambda: _read(der, certificate))


def parse_file(data: bytes) -> CardCertificate:
    """As ``parse``, of a file in DER or PEM (the first certificate in it)."""
    if b"-----BEGIN" not in data:
        return parse(data)
    if len(data) > MAX_CERTIFICATE:
        raise _refused(f"The certificate file is longer than {MAX_CERTIFICATE} bytes.")
    return parse(readable(lambda: x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)))


def _read(der: bytes, certificate: x509.Certificate) -> CardCertificate:
    """Everything that is needed of a certificate, read now, because the library puts errors off until then."""
    key, algorithm = _usable_key(certificate)
    certificate.issuer.rfc4514_string()  # a search for its authority could not read it either
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return CardCertificate(
        der=der,
        subject=certificate.subject.rfc4514_string(),
        common_name=str(names[0].value) if names else "",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        algorithm=algorithm,
        public_key=key,
        # In its one canonical form, however it was written.
        key_bytes=key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        if isinstance(key, RSAPublicKey)
        else key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    )


def _usable_key(certificate: x509.Certificate) -> tuple[PublicKey, Algorithm]:
    """The public key and its algorithm; raise ``RefusedError`` if this product doesn't use such keys."""
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        # With the exponent 1 everybody could sign; an even number can be no exponent and no modulus.
        is_sound = numbers.e >= 3 and numbers.e % 2 == 1 and numbers.n % 2 == 1
        algorithm = _RSA_SIZES.get(key.key_size) if is_sound else None
    elif isinstance(key, EllipticCurvePublicKey):
        algorithm = _CURVES.get(key.curve.name)
    else:
        algorithm = None
    if algorithm is None or not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        raise _refused(
            "The certificate's key is of a kind that is not used here: RSA 2048, 3072 or 4096, P-256, P-384."
        )
    return key, algorithm


def _refused(text: str) -> RefusedError:
    return RefusedError(RefusalCode.CERTIFICATE, text)
