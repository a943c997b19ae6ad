"""The keys and certificates that every path uses: one authority, one RSA-2048 and one P-256 card key."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PIN = "123456"
KEY_ID = "01"
"""CKA_ID of the key: what OpenSC gives to a PIV card's slot 9A."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeyKind(StrEnum):
    """What kind of key the card has in its slot 9A."""

    RSA_2048 = "RSA-2048"
    P256 = "P-256"


@dataclass(frozen=True)
class Credential:
    """A card's certificate, and the authority that issued it."""

    certificate: x509.Certificate
    authority: x509.Certificate

    def der(self) -> bytes:
        """The card's certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def pem(self) -> bytes:
        """The card's certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def fingerprint(self) -> bytes:
        """SHA-256 of the card's certificate."""
        return self.certificate.fingerprint(hashes.SHA256())

    def authority_pem(self) -> bytes:
        """The authority's certificate as PEM."""
        return self.authority.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Authority:
    """A certificate authority with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def make_authority() -> Authority:
    """A new authority, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Benchmark Authority")
    builder = (
        _certificate(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
    )
    return Authority(key, builder.sign(key, hashes.SHA256()))


def make_key(kind: KeyKind) -> PrivateKey:
    """A new private key."""
    if kind is KeyKind.RSA_2048:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def make_credential(key: PrivateKey) -> Credential:
    """A certificate for the key, from a new authority, valid for a day."""
    authority = make_authority()
    builder = (
        _certificate(_name("Benchmark Card"), authority.certificate.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return Credential(builder.sign(authority.key, hashes.SHA256()), authority.certificate)


def private_pem(key: PrivateKey) -> bytes:
    """The private key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
