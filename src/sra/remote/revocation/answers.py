"""The answers to one question: is this certificate revoked? What is at hand first, then whoever can be asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from sra.identity import revocation, status
from sra.identity.authorities import Issued
from sra.identity.certificate_paths import CertificatePath
from sra.identity.crl import RevocationList
from sra.identity.ocsp import OcspAnswer
from sra.identity.policy import CertificatePolicy
from sra.identity.revocation import DistributionPoint, EvidenceError
from sra.identity.status import StatusAnswer, StatusEvidence
from sra.identity.x509_reading import is_same_key, shown
from sra.remote.revocation.evidence_store import EvidenceStore
from sra.remote.revocation.sources import ListSource, ResponderSource, Source
from sra.remote.revocation.trust_folder import TrustedCertificates

DECISION_DEADLINE = 20.0
"""Seconds for all questions of one decision: the admin waits 30 for its Welcome."""

log = logging.getLogger("sra.revocation")


@dataclass(frozen=True)
class StatusQuestion:
    """Whether a certificate of the path is revoked, asked now."""

    issued: Issued
    path: CertificatePath
    trusted: TrustedCertificates
    policy: CertificatePolicy
    now: datetime

    def believed(self, found: RevocationList) -> RevocationList | None:
        """The list as far as it may be believed about the path; ``None`` if not at all (RFC 5280, 6.3.3 (f)).

        Its signer has to be an authority of the path, or lead to the path's own anchor. A signer that is itself revoked
        may still revoke.
        """
        if any(is_same_key(signer, each) for signer in found.signers for each in self.path[1:]):
            return found
        signers = [each for each in found.signers if self.trusted.authorities.leads(each, self.path[-1], self.now)]
        if not signers:
            return None
        if all(self._is_listed(each) for each in signers):
            return replace(found, problem=f"the certificate of the signer of {found.source} was itself revoked")
        return found

    def _is_listed(self, signer: x509.Certificate) -> bool:
        issuers = self.trusted.authorities.finder.issuers(signer)
        asked = [Issued(signer, issuer) for issuer in issuers if issuer != signer]
        return any(
            status.listed_revocation(each, self.trusted.lists_about(each), self.now) is not None for each in asked
        )


class Answers:
    """Gathers what is said of one certificate, and decides as soon as that is enough."""

    def __init__(self, question: StatusQuestion, shelf: EvidenceStore) -> None:
        self._question = question
        self._shelf = shelf
        self._said: list[StatusAnswer] = []
        self._problems = question.trusted.problems_about(question.issued)

    async def good(self) -> StatusEvidence:
        """The evidence that the certificate is not revoked.

        Raises ``RefusedError`` (``REVOKED``, or ``REVOCATION_UNKNOWN`` if there is none).
        """
        question = self._question
        self._said += self._believed(question.trusted.lists_about(question.issued))
        sources = self._sources()
        for source in sources:
            await self._look(source)
        asked: set[str] = set()
        try:
            async with asyncio.timeout(DECISION_DEADLINE):
                await self._ask_for_deltas(asked)
                found = self._decide()
                for source in sources:
                    if found is not None:
                        break
                    await self._ask(source, asked)
                    await self._ask_for_deltas(asked)
                    found = self._decide()
        except TimeoutError:
            found = self._decide()
            self._problems.append("the servers take too long")
        if found is None:
            reasons = status.shortcomings(question.issued, self._said, question.now)
            raise revocation.unknown(question.issued, [*reasons, *self._problems])
        return found

    def _decide(self) -> StatusEvidence | None:
        question = self._question
        fit = [each for each in self._said if self._is_fit(each)]
        return status.decide(question.issued, fit, question.now)

    def _is_fit(self, answer: StatusAnswer) -> bool:
        """Whether the answer's responder, if it could be revoked, is known not to be. “Revoked” needs no such check."""
        if isinstance(answer, RevocationList) or answer.responder is None or answer.revocation is not None:
            return True
        question = self._question
        responder = Issued(answer.responder, question.issued.issuer)
        known = [
            *question.trusted.lists_about(responder),
            *(each for each in self._said if isinstance(each, RevocationList)),
        ]
        believed = self._believed(known)
        name = shown(answer.responder.subject)
        if status.listed_revocation(responder, believed, question.now) is not None:
            self._report(f"the OCSP responder “{name}” was itself revoked")
            return False
        if status.list_evidence(responder, believed, question.now) is None:
            self._report(f"the OCSP responder “{name}” could itself be revoked, and no list here says that it is not")
            return False
        return True

    def _report(self, problem: str) -> None:
        if problem not in self._problems:
            log.warning("%s", problem)
            self._problems.append(problem)

    def _believed(self, found: list[RevocationList]) -> list[RevocationList]:
        return [each for each in map(self._question.believed, found) if each is not None]

    async def _look(self, source: Source) -> None:
        """Take what is at hand of a source."""
        self._take(await self._shelf.at_hand(source, self._question.now))
        self._take(self._shelf.unfit(source))

    def _take(self, answer: StatusAnswer | None) -> None:
        if isinstance(answer, OcspAnswer):
            self._said.append(answer)
        elif answer is not None:
            self._said += self._believed([answer])

    async def _ask(self, source: Source, asked: set[str]) -> None:
        """Take a new answer of a source, or what is wrong with it."""
        asked.add(source.key)
        try:
            self._take(await self._shelf.ask(source, self._question.now))
        except EvidenceError as error:
            self._problems.append(str(error))
            self._take(self._shelf.unfit(source))

    async def _ask_for_deltas(self, asked: set[str]) -> None:
        """Bring the lists at hand up to date; one that can't be had leaves them as they are until they are stale."""
        question = self._question
        if not question.policy.ask_distribution_points:
            return
        points = list(revocation.places(question.issued.certificate).deltas)
        points += [
            DistributionPoint(address)
            for each in self._said
            if isinstance(each, RevocationList)
            for address in each.freshest
        ]
        for source in self._list_sources(points):
            if source.key in asked:
                continue
            asked.add(source.key)
            held = await self._shelf.at_hand(source, question.now)
            self._take(held)
            if held is None or held.fresh_until < question.now:
                await self._ask(source, asked)

    def _sources(self) -> list[Source]:
        """The smallest answers first."""
        question = self._question
        places = revocation.places(question.issued.certificate)
        responders = places.responders if question.policy.ask_ocsp else ()
        points = places.distribution_points if question.policy.ask_distribution_points else ()
        nonce = question.policy.ocsp_nonce
        return [
            *(ResponderSource(address, question.issued, nonce) for address in responders),
            *self._list_sources(points),
        ]

    def _list_sources(self, points: Sequence[DistributionPoint]) -> list[ListSource]:
        """Where the lists of these points can be had, each signed by its issuer, with whichever of its keys."""
        question = self._question
        finder = question.trusted.authorities.finder
        found = []
        for point in points:
            if not point.issuers:
                issuer = question.issued.issuer
                found.append(ListSource(point.address, issuer, tuple(finder.named(issuer.subject))))
            for name in point.issuers:
                signers = tuple(finder.named(name))
                found += [ListSource(point.address, signers[0], signers)] if signers else []
        return found
