"""Revocation: what it is, where an authority says that evidence about it can be had, and how a refusal tells of it.

Evidence is made only by ``crl`` and ``ocsp``, out of signed bytes that they have verified; ``status`` weighs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from sra.errors import RefusalCode, RefusedError, SraError
from sra.identity.authorities import Issued
from sra.identity.x509_reading import day, extension, shown
from sra.logs import clean

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far two clocks may be apart before an answer counts as one from the future, or as no longer the latest."""

_REASONS = {
    x509.ReasonFlags.key_compromise: "its key may be known to others",
    x509.ReasonFlags.ca_compromise: "its authority's key may be known to others",
    x509.ReasonFlags.affiliation_changed: "its holder's affiliation has changed",
    x509.ReasonFlags.superseded: "it was replaced by another",
    x509.ReasonFlags.cessation_of_operation: "it is out of use",
    x509.ReasonFlags.certificate_hold: "it is on hold",
    x509.ReasonFlags.privilege_withdrawn: "its holder's rights were withdrawn",
    x509.ReasonFlags.aa_compromise: "its authority's key may be known to others",
}


class EvidenceError(SraError):
    """What should have been evidence about revocation can't be believed or used; says why, safe to show."""


@dataclass(frozen=True)
class Revocation:
    """When a certificate was revoked, and why (``None`` if its authority doesn't say)."""

    since: datetime
    reason: x509.ReasonFlags | None

    @property
    def is_on_hold(self) -> bool:
        """Whether it may be taken back."""
        return self.reason is x509.ReasonFlags.certificate_hold

    @property
    def is_removal(self) -> bool:
        """Whether a delta takes a revocation back by it (5.3.1)."""
        return self.reason is x509.ReasonFlags.remove_from_crl

    @property
    def is_of_key(self) -> bool:
        """Whether not the certificate alone but its key can't be trusted any more."""
        return self.reason in {x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise}

    def __str__(self) -> str:
        """``on DATE (REASON)``."""
        reason = _REASONS.get(self.reason) if self.reason else None
        return f"on {day(self.since)}" + (f" ({reason})" if reason else "")


class RevokedError(RefusedError):
    """A certificate was revoked, as ``source`` says."""

    def __init__(self, issued: Issued, revocation: Revocation, source: str) -> None:
        called = _called(issued)
        text = f"{called[0].upper()}{called[1:]} was revoked {revocation}. Use another card."
        super().__init__(RefusalCode.REVOKED, text)
        self.issued = issued
        self.revocation = revocation
        self.source = source


@dataclass(frozen=True)
class DistributionPoint:
    """An address of a revocation list, and who signs that, if not the certificate's issuer."""

    address: str
    issuers: tuple[x509.Name, ...] = ()


@dataclass(frozen=True)
class EvidencePlaces:
    """Where an authority says that evidence about a certificate can be had: addresses, as they stand in it.

    ``deltas``: of lists that bring the others up to date.
    """

    distribution_points: tuple[DistributionPoint, ...]
    responders: tuple[str, ...]
    deltas: tuple[DistributionPoint, ...] = ()


def places(certificate: x509.Certificate) -> EvidencePlaces:
    """The addresses in its CRL distribution points, delta points and authority information (4.2.1.13, 4.2.1.15)."""
    access = extension(certificate, x509.AuthorityInformationAccess) or ()
    ocsp = AuthorityInformationAccessOID.OCSP
    responders = [each.access_location for each in access if each.access_method == ocsp]
    return EvidencePlaces(
        _points(extension(certificate, x509.CRLDistributionPoints) or ()),
        addresses(responders),
        _points(extension(certificate, x509.FreshestCRL) or ()),
    )


def unknown(issued: Issued, reasons: Sequence[str]) -> RefusedError:
    """The refusal where nothing says that it is good; ``reasons`` say what was tried, in words that may be shown."""
    why = "; ".join(dict.fromkeys(reasons)) or "its authority names no place to ask, and there is no list of it here"
    text = f"Nobody can say now whether {_called(issued)} is revoked: {clean(why, 600)}. Try again later, or put a "
    return RefusedError(RefusalCode.REVOCATION_UNKNOWN, f"{text}new list of “{shown(issued.issuer.subject)}” there.")


def _called(issued: Issued) -> str:
    constraints = extension(issued.certificate, x509.BasicConstraints)
    is_authority = constraints is not None and constraints.ca
    return f"the authority “{shown(issued.certificate.subject)}”" if is_authority else "the card's certificate"


def _points(found: Iterable[x509.DistributionPoint]) -> tuple[DistributionPoint, ...]:
    each = [
        DistributionPoint(
            address, tuple(name.value for name in point.crl_issuer or () if isinstance(name, x509.DirectoryName))
        )
        for point in found
        for address in addresses(point.full_name or ())
    ]
    return tuple(dict.fromkeys(each))


def addresses(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    """Those names that are addresses, each once."""
    found = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    return tuple(dict.fromkeys(found))
