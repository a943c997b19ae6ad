"""Certificate revocation lists (RFC 5280, section 5): unverified bytes in, a list that may be believed out.

Complete lists, deltas, indirect lists and parts of a list are read alike, and indexed once; ``lists`` says what they
mean together. A list that is signed and yet can't be used as it is (``problem``) never says that a certificate is good,
but what it revokes is revoked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import RefusedError
from sra.identity.authorities import Issued
from sra.identity.revocation import EvidenceError, Revocation, addresses
from sra.identity.x509_reading import (
    MALFORMED,
    comparable,
    extension,
    extension_among,
    is_same,
    is_signed,
    public_bytes,
    shown,
)

MAX_LIST = 32 * 1024 * 1024
"""Bytes of a list: some 900,000 revoked certificates; the longest of the US government has a tenth of that."""


@dataclass(frozen=True)
class RevocationList:
    """A list that an authority has signed. ``fresh_until`` is its nextUpdate, or less.

    ``signers``: the certificates, of one name and key, by which it was verified. ``base``: of a delta, the number of
    the complete list that it starts from. ``serials``: by the issuer of the certificates that are revoked. ``problem``:
    why it can't say that a certificate is good, if it can't.
    """

    issuer: x509.Name
    signers: tuple[x509.Certificate, ...] = field(repr=False)
    this_update: datetime
    fresh_until: datetime
    number: int | None
    base: int | None
    scope: x509.IssuingDistributionPoint | None = field(repr=False)
    serials: Mapping[str, frozenset[int]] = field(repr=False)
    entries: x509.CertificateRevocationList = field(repr=False)
    problem: str = ""

    @property
    def source(self) -> str:
        """What it is and whose."""
        kind = "delta revocation list" if self.base is not None else "revocation list"
        return f"the {kind} of “{shown(self.issuer)}”"

    @property
    def count(self) -> int:
        """How many certificates it revokes."""
        return sum(len(each) for each in self.serials.values())

    @property
    def is_indirect(self) -> bool:
        """Whether it speaks of certificates of other issuers."""
        return self.scope is not None and self.scope.indirect_crl

    @property
    def series(self) -> tuple[str, bytes, bytes]:
        """What a list has in common with those that replace or complete it: issuer, key and scope (5.2.4)."""
        scope = self.scope.public_bytes() if self.scope else b""
        return comparable(self.issuer), public_bytes(self.signers[0]), scope

    @property
    def freshest(self) -> tuple[str, ...]:
        """Where its delta can be had (5.2.6)."""
        points = extension_among(self.entries.extensions, x509.FreshestCRL) or ()
        return addresses([name for point in points for name in point.full_name or ()])

    def find(self, issued: Issued) -> Revocation | None:
        """The certificate's entry.

        The usual answer, none, is one look into a set; finding an entry walks the list (12 ms in one of 100,000).
        """
        issuer, serial = comparable(issued.certificate.issuer), issued.certificate.serial_number
        if serial not in self.serials.get(issuer, ()):
            return None
        if len(self.serials) == 1:
            entry = self.entries.get_revoked_certificate_by_serial_number(serial)
            return None if entry is None else _revocation(entry)
        for whose, entry in _entries(self.entries):
            if entry.serial_number == serial and whose == issuer:
                return _revocation(entry)
        return None

    def at_most_until(self, moment: datetime) -> RevocationList:
        """The same, believed no longer than that."""
        return replace(self, fresh_until=min(self.fresh_until, moment))


def verify(data: bytes, *candidates: x509.Certificate) -> RevocationList:
    """The list in ``data`` (DER or PEM), signed by one of the candidates; raise ``EvidenceError`` if none did.

    All candidates that have the signer's name and key are its signers.
    """
    if len(data) > MAX_LIST:
        raise EvidenceError(f"the revocation list is longer than {MAX_LIST} bytes")
    try:
        return _verify(data, candidates)
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


def _verify(data: bytes, candidates: Sequence[x509.Certificate]) -> RevocationList:
    found = read(data)
    der = found.public_bytes(Encoding.DER) if _is_pem(data) else data
    signers = _signers(found, _first_element(der), candidates)
    scope, base = (
        extension_among(found.extensions, x509.IssuingDistributionPoint),
        extension_among(found.extensions, x509.DeltaCRLIndicator),
    )
    if scope is not None and scope.only_contains_attribute_certs:
        raise EvidenceError("the revocation list is one of attribute certificates")
    number = extension_among(found.extensions, x509.CRLNumber)
    usages = [(each, extension(each, x509.KeyUsage)) for each in signers]
    allowed = tuple(each for each, usage in usages if usage is None or usage.crl_sign)
    serials, entry_problem = _serials(found, is_indirect=scope is not None and scope.indirect_crl)
    name = shown(found.issuer)
    problems = [
        "" if allowed else f"“{name}” may not sign revocation lists (key usage)",
        "" if found.next_update_utc else f"the revocation list of “{name}” doesn't say until when it counts",
        *(
            f"the revocation list of “{name}” has a critical extension that is unknown: {each.oid.dotted_string}"
            for each in found.extensions
            if each.critical and not isinstance(each.value, _UNDERSTOOD)
        ),
        entry_problem,
    ]
    return RevocationList(
        issuer=found.issuer,
        signers=allowed or signers,
        this_update=found.last_update_utc,
        fresh_until=found.next_update_utc or found.last_update_utc,
        number=number.crl_number if number else None,
        base=base.crl_number if base else None,
        scope=scope,
        serials=serials,
        entries=found,
        problem=next((each for each in problems if each), ""),
    )


def _signers(
    found: x509.CertificateRevocationList, signed: bytes, candidates: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """RFC 5280, 6.3.3 (f) and (g): the candidates of the list's issuer whose key has signed it."""
    named = [each for each in candidates if is_same(each.subject, found.issuer)]
    if not named:
        others = " or ".join(dict.fromkeys(f"“{shown(each.subject)}”" for each in candidates)) or "an authority here"
        raise EvidenceError(f"the revocation list is one of “{shown(found.issuer)}”, not of {others}")
    scheme, digest = found.signature_algorithm_parameters, found.signature_hash_algorithm
    keys = {public_bytes(each): each for each in named}
    right = {key for key, each in keys.items() if is_signed(signed, found.signature, scheme, digest, each)}
    if not right:
        raise EvidenceError(f"the revocation list is not signed by “{shown(found.issuer)}”")
    return tuple(each for each in named if public_bytes(each) in right)


def _serials(found: x509.CertificateRevocationList, *, is_indirect: bool) -> tuple[dict[str, frozenset[int]], str]:
    """The serial numbers by issuer, and what makes them less than a whole list (5.3)."""
    serials: dict[str, set[int]] = {}
    problem = ""
    for issuer, entry in _entries(found):
        serials.setdefault(issuer, set()).add(entry.serial_number)
        for each in entry.extensions:
            if isinstance(each.value, x509.CertificateIssuer) and not is_indirect:
                problem = "the revocation list names other issuers, and does not say that it is indirect"
            elif each.critical and not isinstance(each.value, x509.CRLReason | x509.CertificateIssuer):
                problem = "the revocation list has an entry with a critical extension that is unknown"
    return {issuer: frozenset(numbers) for issuer, numbers in serials.items()}, problem


def _entries(found: x509.CertificateRevocationList) -> Iterator[tuple[str, x509.RevokedCertificate]]:
    """Each entry, and the issuer of its certificate: the list's, until one names another (5.3.3)."""
    issuer = comparable(found.issuer)
    for entry in found:
        for each in entry.extensions:
            if isinstance(each.value, x509.CertificateIssuer):
                names = each.value.get_values_for_type(x509.DirectoryName)
                issuer = comparable(names[0]) if names else ""
        yield issuer, entry


def _revocation(entry: x509.RevokedCertificate) -> Revocation:
    found = extension_among(entry.extensions, x509.CRLReason)
    return Revocation(entry.revocation_date_utc, found.reason if found else None)


_UNDERSTOOD = (x509.IssuingDistributionPoint, x509.AuthorityKeyIdentifier, x509.CRLNumber, x509.DeltaCRLIndicator)
