"""The remote's policy, at work: slot, path, usage, revocation, in this order; the first that fails is the refusal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime

from sra.errors import RefusalCode, RefusedError, SraError
from sra.identity import revocation
from sra.identity.authorities import Issued, shown, steps
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy, PolicyFinding
from sra.identity.revocation import Evidence, EvidenceError
from sra.identity.slots import check_slot
from sra.identity.usage import check_usage
from sra.remote.revocation.shelf import Shelf
from sra.remote.revocation.sources import ListSource, ResponderSource, Source
from sra.remote.revocation.trust_folder import Trusted, TrustFolder

DECISION_DEADLINE = 20.0
"""Seconds for all questions of one decision: the admin waits 30 for its Welcome."""

log = logging.getLogger("sra.revocation")


class PolicyChecker:
    """Checks certificates against one policy. ``check`` belongs into ``House.check_certificate``."""

    def __init__(self, policy: CertificatePolicy, trust: TrustFolder, shelf: Shelf) -> None:
        self._policy = policy
        self._trust = trust
        self._shelf = shelf
        self._renewing: asyncio.Task[None] | None = None

    async def check(self, card: CardCertificate, now: datetime) -> None:
        """Raise ``RefusedError`` unless the policy accepts the certificate, whose dates were checked before."""
        try:
            async for finding in self._rules(card, now):
                log.debug("%s: %s", finding.rule, finding.outcome)
        except RefusedError:
            raise
        except SraError as error:
            log.error("nobody gets in: %s", error)  # noqa: TRY400 - it says what to do; a traceback would hide it
            text = "The remote's policy can't be checked. Its administrator finds the reason in its log."
            raise RefusedError(RefusalCode.INTERNAL, text) from error

    async def explain(self, card: CardCertificate, now: datetime) -> tuple[list[PolicyFinding], RefusedError | None]:
        """The rules that ``check`` goes through, up to the one that fails, and the refusal if one does."""
        findings: list[PolicyFinding] = []
        try:
            async for finding in self._rules(card, now):
                findings.append(finding)  # noqa: PERF401 - what was found before a refusal is kept
        except RefusedError as refusal:
            return [*findings, PolicyFinding("refused", refusal.text)], refusal
        return findings, None

    def start(self, clock: Callable[[], datetime]) -> None:
        """Keep what the policy relies on fresh, as long as the event loop runs and this exists."""
        if self._policy.needs_revocation:
            self._renewing = asyncio.create_task(self._keep_fresh(clock))
            self._renewing.add_done_callback(_look_at)

    async def _keep_fresh(self, clock: Callable[[], datetime]) -> None:
        try:
            with contextlib.suppress(SraError):  # whoever logs in is told
                trusted = await self._trusted()
                await self._shelf.recall_lists(trusted.authorities.all, clock())
            await self._shelf.keep_fresh(clock)
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        """Ask nothing more."""
        self._shelf.close()

    async def _rules(self, card: CardCertificate, now: datetime) -> AsyncIterator[PolicyFinding]:
        yield PolicyFinding("policy", str(self._policy.certificates))
        yield PolicyFinding("slot", check_slot(card, may_decrypt=self._policy.allow_decrypting_keys))
        if not self._policy.needs_authority:
            return
        trusted = await self._trusted()
        path = trusted.authorities.path(card, now)
        yield PolicyFinding("path", " ← ".join(f"“{shown(each.subject)}”" for each in path))
        yield PolicyFinding("usage", check_usage(path, self._policy))
        if not self._policy.needs_revocation:
            return
        found = [self._not_revoked(issued, trusted, now) for issued in steps(path)]
        for issued, evidence in zip(steps(path), await _all(found), strict=True):
            outcome = f"no, says {evidence.source}; it counts until {evidence.fresh_until:%Y-%m-%d %H:%M} UTC"
            yield PolicyFinding(f"is “{shown(issued.certificate.subject)}” revoked", outcome)

    async def _trusted(self) -> Trusted:
        current = self._trust.current
        return await asyncio.to_thread(self._trust.read) if current is None else current

    async def _not_revoked(self, issued: Issued, trusted: Trusted, now: datetime) -> Evidence:
        """The evidence that it isn't; what is at hand first, then whoever can be asked, the smallest answer first."""
        sources, problems = self._sources(issued), list(trusted.problems[:1])
        evidence: list[Evidence] = [*trusted.lists.get(issued.issuer, ())]
        evidence += [each for source in sources if (each := await self._shelf.at_hand(source, now)) is not None]
        if (found := revocation.decide(issued, evidence, now)) is not None:
            return found
        try:
            async with asyncio.timeout(DECISION_DEADLINE):
                for source in sources:
                    found = await self._ask(source, issued, problems, now)
                    if found is not None:
                        return found
        except TimeoutError:
            problems.append("the servers take too long")
        raise revocation.unknown(issued, evidence, problems, now)

    async def _ask(self, source: Source, issued: Issued, problems: list[str], now: datetime) -> Evidence | None:
        try:
            return revocation.decide(issued, [await self._shelf.ask(source, now)], now)
        except EvidenceError as error:
            problems.append(str(error))
            return None

    def _sources(self, issued: Issued) -> Sequence[Source]:
        places = revocation.places(issued.certificate)
        responders = places.responders if self._policy.ask_ocsp else ()
        points = places.distribution_points if self._policy.ask_distribution_points else ()
        return [
            *(ResponderSource(address, issued, self._policy.ocsp_nonce) for address in responders),
            *(ListSource(address, issued.issuer) for address in points),
        ]


async def _all(found: Sequence[Awaitable[Evidence]]) -> list[Evidence]:
    """All of them, found side by side; raise the first refusal in the path's order: the card's before the others'."""
    outcomes = await asyncio.gather(*found, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _look_at(renewing: asyncio.Task[None]) -> None:
    if not renewing.cancelled() and (error := renewing.exception()) is not None:
        log.error("nothing is renewed in the background any more: %s", error)
