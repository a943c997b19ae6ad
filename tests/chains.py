"""Authorities of our own, with keys, for tests: certificates, revocation lists and OCSP responses, right or wrong."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from sra.identity import certificates
from sra.identity.authorities import Issued
from sra.identity.certificate_paths import CertificatePath
from sra.identity.certificates import CardCertificate

NOW = datetime(2030, 1, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extensions = Sequence[tuple[x509.ExtensionType, bool]]


@functools.cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """The key of this name, the same for the whole run."""
    return ec.generate_private_key(ec.SECP256R1())


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def usage(*allowed: str) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in allowed for name in names})


AUTHORITY: Extensions = (
    (x509.BasicConstraints(ca=True, path_length=None), True),
    (usage("key_cert_sign", "crl_sign"), True),
)


@dataclass(frozen=True)
class Entry:
    """A line of a revocation list."""

    serial: int
    reason: x509.ReasonFlags | None = None
    extensions: Extensions = ()


@dataclass(frozen=True)
class Authority:
    """An authority with its key."""

    certificate: x509.Certificate
    key: Key

    def issue(
        self,
        subject: str,
        extensions: Extensions = (),
        dates: tuple[datetime, datetime] = (NOW - 30 * DAY, NOW + 30 * DAY),
        public: Key | None = None,
        digest: Any = SHA256,
    ) -> x509.Certificate:
        """A certificate for the key of this name."""
        return signed(
            self.certificate.subject, self.key, named(subject), public or key(subject), extensions, dates, digest
        )

    def authority(
        self,
        subject: str,
        extensions: Extensions = AUTHORITY,
        dates: tuple[datetime, datetime] = (NOW - 300 * DAY, NOW + 300 * DAY),
    ) -> Authority:
        """An authority below this one."""
        return Authority(self.issue(subject, extensions, dates), key(subject))

    def revocation_list(
        self,
        entries: Iterable[Entry] = (),
        extensions: Extensions = (),
        dates: tuple[datetime, datetime] = (NOW - DAY, NOW + DAY),
        digest: Any = SHA256,
    ) -> bytes:
        """A list signed by this authority, DER; its entries were revoked 5 days ago."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(dates[0]).next_update(dates[1])
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        for entry in entries:
            line = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(NOW - 5 * DAY)
            if entry.reason is not None:
                line = line.add_extension(x509.CRLReason(entry.reason), critical=False)
            for value, critical in entry.extensions:
                line = line.add_extension(value, critical)
            builder = builder.add_revoked_certificate(line.build())
        return builder.sign(self.key, digest()).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Responder:
    """Who answers OCSP questions, and how: every field can be made wrong."""

    signer: x509.Certificate
    key: Key
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD
    this_update: datetime = NOW - timedelta(hours=1)
    next_update: datetime | None = NOW + DAY
    reason: x509.ReasonFlags | None = None
    by_name: bool = False
    shows_certificate: bool = True
    extensions: Extensions = ()
    digest: Any = SHA1
    signed_with: Any = SHA256

    def answer(self, issued: Issued, nonce: bytes | None = None) -> bytes:
        """The response about this certificate, DER."""
        is_revoked = self.status is ocsp.OCSPCertStatus.REVOKED
        encoding = ocsp.OCSPResponderEncoding.NAME if self.by_name else ocsp.OCSPResponderEncoding.HASH
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=issued.certificate, issuer=issued.issuer, algorithm=self.digest(), cert_status=self.status,
            this_update=self.this_update, next_update=self.next_update,
            revocation_time=NOW - 5 * DAY if is_revoked else None, revocation_reason=self.reason,
        )  # fmt: skip
        builder = builder.responder_id(encoding, self.signer)
        if self.shows_certificate:
            builder = builder.certificates([self.signer])
        extensions = [(x509.OCSPNonce(nonce), False)] if nonce is not None else []
        for value, critical in (*extensions, *self.extensions):
            builder = builder.add_extension(value, critical)
        return builder.sign(self.key, self.signed_with()).public_bytes(Encoding.DER)


def library_revoked(responder: Responder) -> Responder:
    """The same, saying “revoked”."""
    return dataclasses.replace(responder, status=ocsp.OCSPCertStatus.REVOKED)


RESPONDER: Extensions = (
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),
    (x509.OCSPNoCheck(), False),
)


def root(
    subject: str = "Root", extensions: Extensions = AUTHORITY,
    dates: tuple[datetime, datetime] = (NOW - 900 * DAY, NOW + 900 * DAY), own: Key | None = None,
) -> Authority:  # fmt: skip
    """An authority that signed itself."""
    private = own or key(subject)
    return Authority(signed(named(subject), private, named(subject), private, extensions, dates), private)


def signed(
    issuer: x509.Name, signer: Key, subject: x509.Name, private: Key,
    extensions: Extensions, dates: tuple[datetime, datetime], digest: Any = SHA256,
) -> x509.Certificate:  # fmt: skip
    builder = x509.CertificateBuilder(issuer, subject, private.public_key(), x509.random_serial_number(), *dates)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(signer, digest())


def large_list(issuer: str, dates: tuple[datetime, datetime] = (NOW - DAY, NOW + DAY)) -> bytes:
    """A list of 100,000 with serial numbers of 16 bytes, by the authority of this name."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(named(issuer))
    builder = builder.last_update(dates[0]).next_update(dates[1])
    line = x509.RevokedCertificateBuilder().revocation_date(dates[0])
    entries = [line.serial_number((1 << 120) + number * 7919).build() for number in range(100_000)]
    builder._revoked_certificates = entries  # one by one, each would copy those before
    return builder.sign(key(issuer), SHA256()).public_bytes(Encoding.DER)


def card(certificate: x509.Certificate) -> CardCertificate:
    return certificates.parse(certificate.public_bytes(Encoding.DER))


def path(*authorities: Authority, leaf: x509.Certificate) -> CertificatePath:
    """A path, the anchor given first."""
    return (leaf, *(authority.certificate for authority in reversed(authorities)))


def points(*addresses: str) -> tuple[x509.ExtensionType, bool]:
    """CRL distribution points at these addresses."""
    names = [[x509.UniformResourceIdentifier(address)] for address in addresses]
    return x509.CRLDistributionPoints([x509.DistributionPoint(name, None, None, None) for name in names]), False


def responder(*addresses: str) -> tuple[x509.ExtensionType, bool]:
    """OCSP responders at these addresses."""
    method = AuthorityInformationAccessOID.OCSP
    places = [x509.AccessDescription(method, x509.UniformResourceIdentifier(address)) for address in addresses]
    return x509.AuthorityInformationAccess(places), False


def policies(*identifiers: str) -> tuple[x509.ExtensionType, bool]:
    information = [x509.PolicyInformation(x509.ObjectIdentifier(each), None) for each in identifiers]
    return x509.CertificatePolicies(information), False


def scope(**said: object) -> tuple[x509.ExtensionType, bool]:
    """An issuing distribution point that says this, and nothing else."""
    nothing: dict[str, object] = dict.fromkeys(("full_name", "relative_name", "only_some_reasons"))
    nothing |= dict.fromkeys(
        ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs"), False
    )
    return x509.IssuingDistributionPoint(**(nothing | said)), True  # type: ignore[arg-type]


def with_sha1(der: bytes, signed: bytes, signature: bytes, signer: rsa.RSAPrivateKey) -> bytes:
    """The same, signed anew with sha1WithRSAEncryption in place of sha256WithRSAEncryption."""
    sha256, sha1 = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("0b", "05"))
    changed = signed.replace(sha256, sha1)
    anew = signer.sign(changed, padding.PKCS1v15(), SHA1())  # noqa: S303 - as it should not be
    return der.replace(signed, changed).replace(sha256, sha1).replace(signature, anew)


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def card_file(folder: pathlib.Path, now: datetime, days: int = 365) -> pathlib.Path:
    """The certificate of a self-made card “card” that is for client authentication, in PEM, in a file there."""
    folder.mkdir(parents=True, exist_ok=True)
    client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    dates = (now.replace(microsecond=0) - timedelta(minutes=5), now.replace(microsecond=0) + days * DAY)
    private = ec.generate_private_key(ec.SECP256R1())
    made = signed(named("card"), private, named("card"), private, [(client, False)], dates)
    file = folder / "certificate.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM))
    return file
