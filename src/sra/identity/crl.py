"""Certificate revocation lists (RFC 5280, section 5): unverified bytes in, a list that may be believed out.

Only whole lists of the issuer itself are used. Delta lists, indirect lists and lists for some reasons only are refused,
and so is whatever a list says is critical and isn't understood here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import RefusedError
from sra.identity.authorities import MALFORMED, Issued, extension, shown
from sra.identity.revocation import EvidenceError, Revocation
from sra.identity.signatures import is_signed

MAX_LIST = 32 * 1024 * 1024
"""Bytes of a list: some 900,000 revoked certificates; the longest of the US government has a tenth of that."""

_E = TypeVar("_E", bound=x509.ExtensionType)


@dataclass(frozen=True)
class RevocationList:
    """A list that its issuer has signed. ``fresh_until`` is its nextUpdate, or less."""

    issuer: x509.Name
    this_update: datetime
    fresh_until: datetime
    scope: x509.IssuingDistributionPoint | None = field(repr=False)
    serials: frozenset[int] = field(repr=False)
    entries: x509.CertificateRevocationList = field(repr=False)

    @property
    def source(self) -> str:
        """What it is and whose."""
        return f"the revocation list of “{shown(self.issuer)}”"

    @property
    def count(self) -> int:
        """How many certificates it revokes."""
        return len(self.serials)

    def covers(self, issued: Issued) -> bool:
        """Whether the certificate is in the list's scope (RFC 5280, 6.3.3 (b)); the issuer is the caller's to match."""
        if issued.certificate.issuer != self.issuer:
            return False
        return self.scope is None or _is_in_scope(self.scope, issued.certificate)

    def find(self, issued: Issued) -> Revocation | None:
        """The certificate's entry.

        The usual answer, none, is one look into a set; finding an entry walks the list (12 ms in one of 100,000).
        """
        if issued.certificate.serial_number not in self.serials:
            return None
        entry = self.entries.get_revoked_certificate_by_serial_number(issued.certificate.serial_number)
        if entry is None:
            return None
        reason = next((each.value.reason for each in entry.extensions if isinstance(each.value, x509.CRLReason)), None)
        return Revocation(entry.revocation_date_utc, reason)

    def at_most_until(self, moment: datetime) -> RevocationList:
        """The same, believed no longer than that."""
        return replace(self, fresh_until=min(self.fresh_until, moment))


def verify(data: bytes, issuer: x509.Certificate) -> RevocationList:
    """The list in ``data`` (DER or PEM), signed by ``issuer``; raise ``EvidenceError`` if it isn't one to believe."""
    if len(data) > MAX_LIST:
        raise EvidenceError(f"the revocation list is longer than {MAX_LIST} bytes")
    try:
        return _verify(data, issuer)
    except (*MALFORMED, RefusedError) as error:
        raise EvidenceError("the revocation list can't be read") from error


def read(data: bytes) -> x509.CertificateRevocationList:
    """What could be a list; raises what ``MALFORMED`` names. Nothing in it is verified."""
    return x509.load_pem_x509_crl(data) if _is_pem(data) else x509.load_der_x509_crl(data)


def _is_pem(data: bytes) -> bool:
    return b"-----BEGIN" in data[:4096]


def _first_element(der: bytes) -> bytes:
    """What is signed: the first of the list's three elements, as it stands in DER that the library could read.

    The library would encode it anew, and hold up every other thread for 70 ms in a list of 100,000.
    """
    start = _header(der, 0)[0]
    content, length = _header(der, start)
    return der[start : content + length]


def _header(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at ``at`` begins, and its length (X.690, 8.1.3)."""
    first, at = der[at + 1], at + 2
    if first < 0x80:
        return at, first
    size = first & 0x7F
    return at + size, int.from_bytes(der[at : at + size], "big")


def _verify(data: bytes, issuer: x509.Certificate) -> RevocationList:
    found = read(data)
    der = found.public_bytes(Encoding.DER) if _is_pem(data) else data
    _check_signature(found, _first_element(der), issuer)
    if found.next_update_utc is None:
        raise EvidenceError(f"the revocation list of “{shown(found.issuer)}” doesn't say until when it counts")
    _check_extensions(found)
    return RevocationList(
        issuer=found.issuer,
        this_update=found.last_update_utc,
        fresh_until=found.next_update_utc,
        scope=_extension(found, x509.IssuingDistributionPoint),
        serials=_serials(found),
        entries=found,
    )


def _check_signature(found: x509.CertificateRevocationList, signed: bytes, issuer: x509.Certificate) -> None:
    """RFC 5280, 6.3.3 (f) and (g): the issuer's own key, and allowed to sign lists."""
    usage = extension(issuer, x509.KeyUsage)
    if found.issuer != issuer.subject:
        raise EvidenceError(f"the revocation list is one of “{shown(found.issuer)}”, not of “{shown(issuer.subject)}”")
    if usage is not None and not usage.crl_sign:
        raise EvidenceError(f"“{shown(issuer.subject)}” may not sign revocation lists (key usage)")
    scheme, digest = found.signature_algorithm_parameters, found.signature_hash_algorithm
    if not is_signed(signed, found.signature, scheme, digest, issuer):
        raise EvidenceError(f"the revocation list is not signed by “{shown(issuer.subject)}”")


def _check_extensions(found: x509.CertificateRevocationList) -> None:
    """Refuse what says that it is not a whole list of its issuer, or can't be understood."""
    for each in found.extensions:
        if isinstance(each.value, x509.DeltaCRLIndicator):
            raise EvidenceError("it is a delta revocation list, and only whole ones are used")
        if each.critical and not isinstance(each.value, _UNDERSTOOD):
            raise EvidenceError(
                f"the revocation list has a critical extension that is unknown: {each.oid.dotted_string}"
            )
    scope = _extension(found, x509.IssuingDistributionPoint)
    if scope is not None and (scope.indirect_crl or scope.only_contains_attribute_certs or scope.only_some_reasons):
        raise EvidenceError("the revocation list is indirect, or for some reasons only, and such lists are not used")
    if scope is not None and scope.relative_name is not None:
        raise EvidenceError("the revocation list names its distribution point in a form that is not used (relative)")


def _serials(found: x509.CertificateRevocationList) -> frozenset[int]:
    """The serial numbers; an entry with a critical extension speaks of more than this list can say (5.3)."""
    serials = set()
    for entry in found:
        if any(each.critical and not isinstance(each.value, x509.CRLReason) for each in entry.extensions):
            raise EvidenceError("the revocation list has an entry with a critical extension that is unknown")
        serials.add(entry.serial_number)
    return frozenset(serials)


def _is_in_scope(scope: x509.IssuingDistributionPoint, certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    is_authority = constraints is not None and constraints.ca
    if (scope.only_contains_ca_certs and not is_authority) or (scope.only_contains_user_certs and is_authority):
        return False
    if not scope.full_name:
        return True
    points = extension(certificate, x509.CRLDistributionPoints) or ()
    own = [name for point in points if point.crl_issuer is None for name in point.full_name or ()]
    return any(name in own for name in scope.full_name)


def _extension(found: x509.CertificateRevocationList, kind: type[_E]) -> _E | None:
    return next((each.value for each in found.extensions if isinstance(each.value, kind)), None)


_UNDERSTOOD = (x509.IssuingDistributionPoint, x509.AuthorityKeyIdentifier, x509.CRLNumber)
