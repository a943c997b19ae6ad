"""The authorities that a remote trusts, and the path from a card's certificate to one of them (RFC 5280, section 6).

Signatures, dates, basic constraints, path length, name constraints and critical extensions are the library's work;
which authority counts and why there is no path is said here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.verification import Criticality, ExtensionPolicy

from sra.errors import RefusalCode, RefusedError
from sra.identity.certificates import CardCertificate
from sra.logs import clean

MAX_DEPTH = 8
"""Authorities between a card and its anchor: the US federal bridge, the deepest in the field, has 4."""

MALFORMED = (
    ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm,
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.AttributeNotFound,
)  # fmt: skip
"""What the X.509 library raises for bytes that it can't make sense of."""

Path = tuple[x509.Certificate, ...]
"""From the card's certificate to the anchor: at least two."""

_T = TypeVar("_T")
_E = TypeVar("_E", bound=x509.ExtensionType)


@dataclass(frozen=True)
class Issued:
    """A certificate of a path, and the one whose key signed it."""

    certificate: x509.Certificate
    issuer: x509.Certificate


@dataclass(frozen=True)
class Authorities:
    """Certificates of authorities: the self-signed ones are the anchors, the others may be on the way to them."""

    anchors: tuple[x509.Certificate, ...] = ()
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def all(self) -> tuple[x509.Certificate, ...]:
        """Anchors first."""
        return self.anchors + self.intermediates

    def path(self, card: CardCertificate, now: datetime) -> Path:
        """The path from the card's certificate to an anchor; raise ``RefusedError`` that says why there is none."""
        leaf = readable(lambda: x509.load_der_x509_certificate(card.der))
        if not self.anchors:
            raise _untrusted("This remote trusts no authority yet. As root, put its certificate into etc/sra/trust.")
        try:
            chain = tuple(self._verifier(now).verify(leaf, list(self.intermediates)).chain)
        except verification.VerificationError as error:
            raise self._why_no_path(leaf, now, str(error)) from error
        except MALFORMED as error:
            raise _untrusted("The card's certificate has an extension that can't be read.") from error
        if len(chain) < 2:
            raise _untrusted("The card's certificate is an authority's own; a card's has to be issued by one.")
        return chain

    @cached_property
    def _store(self) -> verification.Store:
        return verification.Store(list(self.anchors))

    def _verifier(self, now: datetime) -> verification.ClientVerifier:
        builder = verification.PolicyBuilder().store(self._store).time(now).max_chain_depth(MAX_DEPTH)
        return builder.extension_policies(ca_policy=_CA_EXTENSIONS, ee_policy=_EE_EXTENSIONS).build_client_verifier()

    def _why_no_path(self, leaf: x509.Certificate, now: datetime, library_says: str) -> RefusedError:
        """Look for the first certificate on the way up that has no issuer here, or is out of its dates."""
        certificate, seen = leaf, [leaf]
        while certificate not in self.anchors and len(seen) <= MAX_DEPTH:
            issuers = [each for each in self.all if each not in seen and is_issuer(each, certificate)]
            if not issuers:
                break
            certificate = max(issuers, key=lambda each: each.not_valid_after_utc)
            if (out_of_date := _out_of_date(certificate, now)) is not None:
                return out_of_date
            seen.append(certificate)
        if certificate in self.anchors:
            return _untrusted(f"The card's certificate breaks a rule of its authorities: {clean(library_says)}.")
        text = f"The card's certificate comes from “{shown(certificate.issuer)}”, which this remote does not know."
        return _untrusted(f"{text} If it should, put that authority's certificate into etc/sra/trust there.")


def read_certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a file, PEM (any number) or DER; raise ``RefusedError`` if they can't be read."""
    if b"-----BEGIN" in data:
        return readable(lambda: tuple(x509.load_pem_x509_certificates(data)))
    return (readable(lambda: x509.load_der_x509_certificate(data)),)


def sort_authorities(certificates: Iterable[x509.Certificate]) -> tuple[Authorities, tuple[x509.Certificate, ...]]:
    """The authorities among these certificates, each once; and the ones that are none."""
    each = {certificate.public_bytes(Encoding.DER): certificate for certificate in certificates}
    authorities = [certificate for certificate in each.values() if _is_authority(certificate)]
    anchors = tuple(certificate for certificate in authorities if is_issuer(certificate, certificate))
    found = Authorities(anchors, tuple(certificate for certificate in authorities if certificate not in anchors))
    return found, tuple(certificate for certificate in each.values() if certificate not in authorities)


def steps(path: Path) -> list[Issued]:
    """The certificates of the path below its anchor, the card's first, each with its issuer."""
    return [Issued(certificate, issuer) for certificate, issuer in itertools.pairwise(path)]


def is_issuer(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the one's name and key signed the other."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *MALFORMED):
        return False
    return True


def extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    """The certificate's extension of this kind, if it has one; raise ``RefusedError`` if it can't be read."""
    extensions = readable(lambda: certificate.extensions)
    return next((each.value for each in extensions if isinstance(each.value, kind)), None)


def readable(read: Callable[[], _T]) -> _T:
    """What ``read`` returns; raise ``RefusedError`` for whatever the library says of malformed bytes."""
    try:
        return read()
    except MALFORMED as error:
        raise RefusedError(RefusalCode.CERTIFICATE, "This is not a certificate that can be read (X.509).") from error


def shown(name: x509.Name) -> str:
    """A name from a certificate, safe to show: its common name, or else all of it."""
    common = [str(each.value) for each in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return clean(common[0] if common else name.rfc4514_string() or "(no name)", 100)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        constraints = extension(certificate, x509.BasicConstraints)
    except RefusedError:
        return False
    return constraints is not None and constraints.ca


def _out_of_date(authority: x509.Certificate, now: datetime) -> RefusedError | None:
    name = shown(authority.subject)
    if now > authority.not_valid_after_utc:
        text = f"The certificate of the authority “{name}” expired on {day(authority.not_valid_after_utc)}."
        return RefusedError(RefusalCode.EXPIRED, f"{text} Put its new one into etc/sra/trust on the remote.")
    if now < authority.not_valid_before_utc:
        text = f"The certificate of the authority “{name}” is not valid before {day(authority.not_valid_before_utc)}."
        return RefusedError(RefusalCode.EXPIRED, f"{text} Check the remote's clock.")
    return None


def day(moment: datetime) -> str:
    """A moment as people read it in a refusal."""
    return moment.astimezone(UTC).date().isoformat()


def _untrusted(text: str) -> RefusedError:
    return RefusedError(RefusalCode.UNTRUSTED, text)


def _signs_certificates(_: object, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    """RFC 5280, 6.1.4 (n): an authority whose key usage is limited has to be allowed to sign certificates."""
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an authority's key usage lacks keyCertSign")


_EE_EXTENSIONS = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.CertificatePolicies, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
)
"""Of a card: its uses and policies are judged in ``usage``, so they may be critical."""

_CA_EXTENSIONS = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
    .may_be_present(x509.CertificatePolicies, Criticality.AGNOSTIC, None)
    .may_be_present(x509.PolicyConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.InhibitAnyPolicy, Criticality.AGNOSTIC, None)
)
"""Of an authority: what it says about policies is judged in ``usage``; a critical policy mapping is refused."""
