"""Whether a certificate is revoked: what it takes to say no or yes.

One revocation is enough for no, however old, and whatever else is wrong with the answer that tells it. Yes needs
evidence that is fresh and speaks of this very certificate. Nothing at all means no.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sra.identity import lists
from sra.identity.authorities import Issued, day
from sra.identity.crl import RevocationList
from sra.identity.lists import ListEvidence
from sra.identity.ocsp import OcspAnswer
from sra.identity.revocation import CLOCK_TOLERANCE, RevokedError

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
    if (entry := lists.revocation(issued, listed, now)) is not None:
        raise RevokedError(issued, entry[1], entry[0].source)
    fresh: list[StatusEvidence] = [
        each
        for each in said
        if each.revocation is None and now <= each.fresh_until and each.this_update <= now + CLOCK_TOLERANCE
    ]
    if (evidence := lists.good(issued, listed, now)) is not None:
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
    return answer.covers(issued) if isinstance(answer, OcspAnswer) else bool(lists.reasons(answer, issued))
