"""Whether a certificate is revoked: what revocation lists say together, and what it takes to say no or yes.

A list counts for the certificates in its scope and for its reasons; several may be needed, until no reason is left. A
delta makes its complete list newer (RFC 5280, section 6.3). An entry for the certificate revokes it wherever it stands,
in scope or not, stale or not: serial numbers are given once. Only a hold is ever taken back.

One revocation is enough for no, however old, and whatever else is wrong with the answer that tells it. Yes needs
evidence that is fresh and speaks of this very certificate. Nothing at all means no.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from sra.identity.authorities import Issued
from sra.identity.crl import RevocationList
from sra.identity.ocsp import OcspAnswer
from sra.identity.revocation import CLOCK_TOLERANCE, Revocation, RevokedError
from sra.identity.x509_reading import comparable, day, extension

ALL_REASONS = frozenset(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}

_Names = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class ListEvidence:
    """That no reason is left for which the certificate could be revoked, as these lists say."""

    source: str
    fresh_until: datetime


def listed_revocation(
    issued: Issued, lists: Sequence[RevocationList], now: datetime
) -> tuple[RevocationList, Revocation] | None:
    """The entry that revokes the certificate now, and its list."""
    for each in lists:
        found = each.find(issued)
        if found is None or (found.is_removal and each.base is not None):
            continue
        if found.is_on_hold and (_fresh_until(each, lists, now) < now or _is_lifted(issued, each, lists, now)):
            continue
        return each, found
    return None


def list_evidence(issued: Issued, lists: Sequence[RevocationList], now: datetime) -> ListEvidence | None:
    """The evidence that the certificate is not revoked, if there is enough that is fresh.

    ``listed_revocation`` goes first.
    """
    wholes = [each for each in lists if each.base is None and not each.problem and _is_past(each, now)]
    fresh = [(each, _fresh_until(each, lists, now)) for each in wholes]
    counting = [(each, until, reasons(each, issued)) for each, until in fresh if now <= until]
    complete = [(each, until) for each, until, which in counting if which == ALL_REASONS]
    if complete:
        best, until = max(complete, key=lambda each: each[1])
        return ListEvidence(best.source, until)
    parts = [(each, until, which) for each, until, which in counting if which]
    if frozenset().union(*(which for _, _, which in parts)) != ALL_REASONS:
        return None
    sources = " and ".join(dict.fromkeys(each.source for each, _, _ in parts))
    return ListEvidence(sources, min(until for _, until, _ in parts))


def reasons(found: RevocationList, issued: Issued) -> frozenset[x509.ReasonFlags]:
    """The reasons for which the list would name the certificate (6.3.3 (b) to (e)); none if it is out of scope."""
    certificate, scope = issued.certificate, found.scope
    if scope is not None and not _is_kind(scope, certificate):
        return frozenset()
    is_own = comparable(certificate.issuer) == comparable(found.issuer)
    names = None if scope is None else _names(scope.full_name, scope.relative_name, found.issuer)
    which: frozenset[x509.ReasonFlags] = frozenset()
    for point in extension(certificate, x509.CRLDistributionPoints) or ():
        if _is_of_point(found, point, names, certificate.issuer, is_own=is_own):
            which |= point.reasons or ALL_REASONS
    # Last, as if the certificate had a point of its issuer's own name, without limits.
    if is_own and (names is None or ("directory", comparable(certificate.issuer)) in names):
        which = ALL_REASONS
    limit = scope.only_some_reasons if scope is not None else None
    return which & (ALL_REASONS if limit is None else limit)


def speaks_of(found: RevocationList, issued: Issued) -> bool:
    """Whether the list is one of the certificate's issuer, or of one that its points name, or has an entry for it."""
    issuer = comparable(issued.certificate.issuer)
    return issuer == comparable(found.issuer) or issuer in found.serials or bool(reasons(found, issued))


def _is_of_point(
    found: RevocationList, point: x509.DistributionPoint, names: _Names | None, issuer: x509.Name, *, is_own: bool
) -> bool:
    """6.3.3 (b) (1) and (2) (i)."""
    issuers = _names(point.crl_issuer, None, issuer)
    if issuers is None:
        is_its_issuer = is_own
    else:
        is_its_issuer = found.is_indirect and ("directory", comparable(found.issuer)) in issuers
    if not is_its_issuer or names is None:
        return is_its_issuer
    own = _names(point.full_name, point.relative_name, found.issuer if issuers else issuer)
    return bool(names & (own or issuers or frozenset()))


def _is_kind(scope: x509.IssuingDistributionPoint, certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    is_authority = constraints is not None and constraints.ca
    return not (scope.only_contains_ca_certs and not is_authority) and not (
        scope.only_contains_user_certs and is_authority
    )


def _names(
    full: Iterable[x509.GeneralName] | None, relative: x509.RelativeDistinguishedName | None, issuer: x509.Name
) -> _Names | None:
    """The names of a point, comparable; a relative one goes below its issuer's (4.2.1.13)."""
    if relative is not None:
        return frozenset({("directory", comparable(x509.Name([*issuer.rdns, relative])))})
    return None if full is None else frozenset(_comparable(each) for each in full)


def _comparable(name: x509.GeneralName) -> tuple[str, str]:
    if isinstance(name, x509.DirectoryName):
        return "directory", comparable(name.value)
    return type(name).__name__, str(name.value)


def _is_past(found: RevocationList, now: datetime) -> bool:
    return found.this_update <= now + CLOCK_TOLERANCE


def _age(found: RevocationList) -> tuple[datetime, int]:
    return found.this_update, -1 if found.number is None else found.number


def _completes(delta: RevocationList, whole: RevocationList) -> bool:
    """Whether the delta makes this complete list newer (5.2.4, and 6.3.3 (c))."""
    if delta.base is None or delta.number is None or whole.number is None or delta.problem:
        return False
    return delta.series == whole.series and delta.base <= whole.number < delta.number


def _fresh_until(whole: RevocationList, lists: Sequence[RevocationList], now: datetime) -> datetime:
    deltas = [each for each in lists if each.base is not None and _is_past(each, now) and _completes(each, whole)]
    return max([whole.fresh_until, *(each.fresh_until for each in deltas)])


def _is_lifted(issued: Issued, held: RevocationList, lists: Sequence[RevocationList], now: datetime) -> bool:
    """Whether a newer list of the same series, that is fresh, no longer has the certificate on hold."""
    for each in lists:
        if _age(each) <= _age(held) or not _is_past(each, now) or each.fresh_until < now or each.problem:
            continue
        found = each.find(issued)
        if each.base is None or (held.base is not None and each.base <= held.base):
            if each.series == held.series and (found is None or found.is_removal):
                return True
        elif found is not None and found.is_removal and _completes(each, held):
            return True
    return False


StatusAnswer = RevocationList | OcspAnswer
StatusEvidence = ListEvidence | OcspAnswer


def decide(issued: Issued, answers: Sequence[StatusAnswer], now: datetime) -> StatusEvidence | None:
    """The evidence that the certificate is not revoked; ``None`` if there is none that is fresh.

    Raises ``RevokedError`` if any of it says that it is revoked. That needs not be fresh: only what is on hold is ever
    taken back (RFC 5280, 5.3.1).
    """
    said = [each for each in answers if isinstance(each, OcspAnswer) and each.covers(issued)]
    listed = [each for each in answers if isinstance(each, RevocationList)]
    for each in said:
        if each.revocation is not None and (now <= each.fresh_until or not each.revocation.is_on_hold):
            raise RevokedError(issued, each.revocation, each.source)
    if (entry := listed_revocation(issued, listed, now)) is not None:
        raise RevokedError(issued, entry[1], entry[0].source)
    fresh: list[StatusEvidence] = [
        each
        for each in said
        if each.revocation is None and now <= each.fresh_until and each.this_update <= now + CLOCK_TOLERANCE
    ]
    if (evidence := list_evidence(issued, listed, now)) is not None:
        fresh.append(evidence)
    return max(fresh, key=lambda each: each.fresh_until, default=None)


def shortcomings(issued: Issued, answers: Iterable[StatusAnswer], now: datetime) -> list[str]:
    """Why each of these answers does not say that the certificate is good, in words."""
    found = []
    for each in answers:
        if isinstance(each, RevocationList) and each.problem:
            found.append(each.problem)
        elif not _concerns(each, issued):
            continue
        elif each.this_update > now + CLOCK_TOLERANCE:
            found.append(f"{each.source} is not valid before {day(each.this_update)}")
        elif each.fresh_until < now:
            found.append(f"{each.source} is stale since {day(each.fresh_until)}")
        elif isinstance(each, RevocationList) and each.base is None:
            found.append(f"{each.source} does not cover every reason for a revocation")
    return found


def _concerns(answer: StatusAnswer, issued: Issued) -> bool:
    return answer.covers(issued) if isinstance(answer, OcspAnswer) else bool(reasons(answer, issued))
