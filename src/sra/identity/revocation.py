"""Whether a certificate is revoked: what counts as evidence, how long, and what it takes to say no or yes.

Evidence is made only by ``crl`` and ``ocsp``, out of signed bytes that they have verified. One revocation is enough for
no; yes needs evidence that is fresh and speaks of this very certificate. Nothing at all means no.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from sra.errors import RefusalCode, RefusedError, SraError
from sra.identity.authorities import Issued, day, extension, shown
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

    def __str__(self) -> str:
        """``on DATE (REASON)``."""
        reason = _REASONS.get(self.reason) if self.reason else None
        return f"on {day(self.since)}" + (f" ({reason})" if reason else "")


class Evidence(Protocol):
    """Something an authority has signed that says which certificates are revoked."""

    @property
    def source(self) -> str:
        """What it is and whose, in words."""

    @property
    def this_update(self) -> datetime:
        """When it was so."""

    @property
    def fresh_until(self) -> datetime:
        """Until when it may be believed."""

    def covers(self, issued: Issued) -> bool:
        """Whether it speaks of this certificate at all."""

    def find(self, issued: Issued) -> Revocation | None:
        """The revocation of a certificate that it covers, if there is one."""


@dataclass(frozen=True)
class Places:
    """Where an authority says that evidence about a certificate can be had: addresses, as they stand in it."""

    distribution_points: tuple[str, ...]
    responders: tuple[str, ...]


def places(certificate: x509.Certificate) -> Places:
    """The addresses in its CRL distribution points and authority information (RFC 5280, 4.2.1.13 and 4.2.2.1).

    Points for some reasons only, or whose lists another than the issuer signs, are left out: such lists aren't used.
    """
    points = extension(certificate, x509.CRLDistributionPoints) or ()
    whole = [point.full_name or [] for point in points if point.reasons is None and point.crl_issuer is None]
    access = extension(certificate, x509.AuthorityInformationAccess) or ()
    ocsp = AuthorityInformationAccessOID.OCSP
    responders = [each.access_location for each in access if each.access_method == ocsp]
    return Places(_addresses([name for names in whole for name in names]), _addresses(responders))


def decide(issued: Issued, evidence: Sequence[Evidence], now: datetime) -> Evidence | None:
    """The evidence that the certificate is not revoked; ``None`` if there is none that is fresh.

    Raises ``RefusedError`` (``REVOKED``) if any of it says that it is revoked. That needs not be fresh: only what is on
    hold is ever taken back (RFC 5280, 5.3.1).
    """
    speaking = [each for each in evidence if each.covers(issued) and each.this_update <= now + CLOCK_TOLERANCE]
    for each in speaking:
        revocation = each.find(issued)
        if revocation is not None and (now <= each.fresh_until or not revocation.is_on_hold):
            raise _revoked(issued, revocation)
    fresh = [each for each in speaking if now <= each.fresh_until]
    return max(fresh, key=lambda each: each.fresh_until, default=None)


def unknown(issued: Issued, evidence: Iterable[Evidence], problems: Sequence[str], now: datetime) -> RefusedError:
    """The refusal where ``decide`` found nothing; ``problems`` say what was tried, in words that may be shown."""
    stale = [each for each in evidence if each.covers(issued) and each.fresh_until < now]
    reasons = [f"{each.source} is stale since {day(each.fresh_until)}" for each in stale] + list(problems)
    why = "; ".join(dict.fromkeys(reasons)) or "its authority names no place to ask, and there is no list of it here"
    text = f"Nobody can say now whether {_called(issued)} is revoked: {clean(why, 600)}. Try again later, or put a "
    return RefusedError(RefusalCode.REVOCATION_UNKNOWN, f"{text}new list of “{shown(issued.issuer.subject)}” there.")


def _revoked(issued: Issued, revocation: Revocation) -> RefusedError:
    called = _called(issued)
    text = f"{called[0].upper()}{called[1:]} was revoked {revocation}. Use another card."
    return RefusedError(RefusalCode.REVOKED, text)


def _called(issued: Issued) -> str:
    constraints = extension(issued.certificate, x509.BasicConstraints)
    is_authority = constraints is not None and constraints.ca
    return f"the authority “{shown(issued.certificate.subject)}”" if is_authority else "the card's certificate"


def _addresses(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    found = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    return tuple(dict.fromkeys(found))
