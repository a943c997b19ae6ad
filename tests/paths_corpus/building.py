"""What the cases of the corpus are built from: authorities, cards, lists and answers, right or wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type

from tests.chains import Extensions, key, usage

NOW = datetime.now(UTC).replace(microsecond=0)
"""The programs of the login know no other time."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
USUAL, PAST, FUTURE = (NOW - 9 * DAY, NOW + 9 * DAY), (NOW - 9 * DAY, NOW - DAY), (NOW + DAY, NOW + 9 * DAY)

Extension = tuple[x509.ExtensionType, bool]
Name = x509.Name


def dn(*parts: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> Name:
    """A name of an organization, and what is below it: ``dn("A", "B")`` is O=A, CN=B."""
    *above, last = parts
    above_attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, each, _type=kind) for each in above]
    return x509.Name([*above_attributes, x509.NameAttribute(x509.NameOID.COMMON_NAME, last, _type=kind)])


@dataclass(frozen=True)
class Ca:
    """An authority: its certificate, the key that it signs with, and its name as it writes it into what it signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    name: Name

    def card(
        self, *extensions: Extension, dates: tuple[datetime, datetime] = USUAL, subject: Name | None = None,
    ) -> x509.Certificate:  # fmt: skip
        """A card's certificate by this authority."""
        return sign(self, subject or dn("Cards", "Alice"), key("Alice"), extensions, dates)

    def list(
        self,
        *entries: x509.RevokedCertificate,
        extensions: Extensions = (),
        dates: tuple[datetime, datetime] = (NOW - HOUR, NOW + DAY),
        number: int | None = 5,
        delta: int | None = None,
    ) -> bytes:
        """A revocation list by this authority, DER."""
        builder = x509.CertificateRevocationListBuilder(self.name, *dates, [], list(entries))
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        if delta is not None:
            builder = builder.add_extension(x509.DeltaCRLIndicator(delta), critical=True)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)


def sign(
    issuer: Ca, subject: Name, private: ec.EllipticCurvePrivateKey, extensions: Iterable[Extension],
    dates: tuple[datetime, datetime] = USUAL,
) -> x509.Certificate:  # fmt: skip
    """A certificate by this authority, with the identifiers of both keys."""
    builder = x509.CertificateBuilder(issuer.name, subject, private.public_key(), x509.random_serial_number(), *dates)
    own = [
        (x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False),
    ]
    kinds = {type(value) for value, _ in extensions}
    for value, critical in (*(each for each in own if type(each[0]) not in kinds), *extensions):
        builder = builder.add_extension(value, critical)
    return builder.sign(issuer.key, SHA256())


ISSUES = (usage("key_cert_sign", "crl_sign"), True)


def basic(length: int | None = None, *, critical: bool = True, ca: bool = True) -> Extension:
    return x509.BasicConstraints(ca=ca, path_length=length), critical


def ca(
    name: str | Name,
    by: Ca | None = None,
    *extensions: Extension,
    of: str = "",
    dates: tuple[datetime, datetime] = USUAL,
    basics: Sequence[Extension] = (basic(), ISSUES),
) -> Ca:
    """An authority below another, or a root; ``of``: the name of its key, if it is not its own."""
    subject = name if isinstance(name, x509.Name) else dn("Test", name)
    private = key(of or f"ca {subject.rfc4514_string()}")
    issuer = by or Ca(None, private, subject)  # type: ignore[arg-type]
    return Ca(sign(issuer, subject, private, (*basics, *extensions), dates), private, subject)


def entry(
    certificate: x509.Certificate | int, reason: x509.ReasonFlags | None = None, *extensions: Extension
) -> x509.RevokedCertificate:
    """A line of a list."""
    serial = certificate if isinstance(certificate, int) else certificate.serial_number
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - 2 * DAY)
    for value, critical in (*([(x509.CRLReason(reason), False)] if reason else []), *extensions):
        builder = builder.add_extension(value, critical)
    return builder.build()


@dataclass(frozen=True)
class Case:
    """A card, what a remote has in its folder of trust, and whether the card is to come in.

    ``answers``: of OCSP responders, at hand. ``policies``: wanted by the remote. ``checks_revocation``: else the policy
    is “ca”.
    """

    name: str
    is_good: bool
    card: x509.Certificate
    trust: tuple[x509.Certificate, ...]
    lists: tuple[bytes, ...] = ()
    answers: tuple[bytes, ...] = ()
    policies: frozenset[str] = frozenset()
    checks_revocation: bool = False


CASES: list[Case] = []


def case(
    name: str,
    verdict: str,
    card: x509.Certificate,
    trust: Iterable[Ca | x509.Certificate],
    lists: Iterable[bytes] | None = None,
    answers: Iterable[bytes] = (),
    policies: Iterable[str] = (),
) -> None:
    """Add a case: its name begins with the section of the standard, its verdict is “good” or “bad”."""
    if verdict not in {"good", "bad"} or any(each.name == name for each in CASES):
        raise ValueError(name)
    certificates = tuple(each.certificate if isinstance(each, Ca) else each for each in trust)
    checks = lists is not None
    CASES.append(
        Case(
            name, verdict == "good", card, certificates, tuple(lists or ()), tuple(answers), frozenset(policies), checks
        )
    )


def changed(
    certificate: x509.Certificate, change: Callable[[bytes], bytes], signer: Ca | None = None
) -> x509.Certificate:
    """The certificate with its signed part changed, and signed anew by ``signer`` if there is one."""
    from asn1crypto import x509 as asn1  # noqa: PLC0415 - only here

    parsed = asn1.Certificate.load(certificate.public_bytes(Encoding.DER))
    signed = change(parsed["tbs_certificate"].dump())
    parsed["tbs_certificate"] = asn1.TbsCertificate.load(signed)
    if signer is not None:
        parsed["signature_value"] = signer.key.sign(signed, ec.ECDSA(SHA256()))
    return x509.load_der_x509_certificate(parsed.dump(force=True))
