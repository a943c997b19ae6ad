"""The remote's policy, at work: slot, path, usage, revocation, in this order; the first that fails is the refusal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime

from sra.errors import RefusalCode, RefusedError, SraError
from sra.identity.authorities import Issued, steps
from sra.identity.certificate_paths import CertificatePath
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy, PolicyFinding
from sra.identity.revocation import RevokedError
from sra.identity.status import StatusEvidence
from sra.identity.usage import check_purpose, check_slot, check_usage, listed
from sra.identity.x509_reading import public_bytes, shown
from sra.remote.revocation.answers import Answers, StatusQuestion
from sra.remote.revocation.evidence_store import EvidenceStore
from sra.remote.revocation.trust_folder import TrustedCertificates, TrustFolder

log = logging.getLogger("sra.revocation")


class PolicyChecker:
    """Checks certificates against one policy. ``check`` belongs into ``House.check_certificate``."""

    def __init__(self, policy: CertificatePolicy, trust: TrustFolder, shelf: EvidenceStore) -> None:
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
        yield PolicyFinding("purpose", check_purpose(card, self._policy))
        if not self._policy.needs_authority:
            return
        async for finding in self._ways(card, await self._trusted(), now):
            yield finding

    async def _ways(
        self, card: CardCertificate, trusted: TrustedCertificates, now: datetime
    ) -> AsyncIterator[PolicyFinding]:
        """What is found on the card's paths, up to the first that is good to its end; raise the first one's refusal.

        That one certificate of an authority is revoked ends that path only, except if its key may be known to others.
        """
        refusals: list[RefusedError] = []
        condemned: set[bytes] = set()
        valid_paths = trusted.authorities.paths(card, now, self._policy.policies)
        for valid in filter(lambda each: not condemned.intersection(map(public_bytes, each.certificates)), valid_paths):
            path = valid.certificates
            yield PolicyFinding("path", " ← ".join(f"“{shown(each.subject)}”" for each in path))
            yield PolicyFinding("policies", listed(valid.policies))
            try:
                check_usage(path, self._policy)
                found = await self._not_revoked(path, trusted, now)
            except RevokedError as refusal:
                log.warning("%s (%s)", refusal, refusal.source)
                if refusal.issued.certificate == path[0]:
                    raise
                if refusal.revocation.is_of_key:
                    condemned.add(public_bytes(refusal.issued.certificate))
                refusals.append(refusal)
            except RefusedError as refusal:
                refusals.append(refusal)
            else:
                for finding in found:
                    yield finding
                return
        raise refusals[0]

    async def _trusted(self) -> TrustedCertificates:
        current = self._trust.current
        return await asyncio.to_thread(self._trust.read) if current is None else current

    async def _not_revoked(
        self, path: CertificatePath, trusted: TrustedCertificates, now: datetime
    ) -> list[PolicyFinding]:
        """That nothing on the path is revoked, and what says so; raise ``RefusedError`` if that isn't known."""
        if not self._policy.needs_revocation:
            return []
        found = await _all([self._good(issued, path, trusted, now) for issued in steps(path)])
        outcomes = [f"no, says {each.source}; it counts until {each.fresh_until:%Y-%m-%d %H:%M} UTC" for each in found]
        names = [f"is “{shown(each.subject)}” revoked" for each in path[:-1]]
        return [PolicyFinding(name, outcome) for name, outcome in zip(names, outcomes, strict=True)]

    async def _good(
        self, issued: Issued, path: CertificatePath, trusted: TrustedCertificates, now: datetime
    ) -> StatusEvidence:
        """The evidence that one certificate isn't revoked."""
        question = StatusQuestion(issued, path, trusted, self._policy, now)
        return await Answers(question, self._shelf).good()


async def _all(found: Sequence[Awaitable[StatusEvidence]]) -> list[StatusEvidence]:
    """All of them, found side by side; raise the first refusal in the path's order: the card's before the others'."""
    outcomes = await asyncio.gather(*found, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _look_at(renewing: asyncio.Task[None]) -> None:
    if not renewing.cancelled() and (error := renewing.exception()) is not None:
        log.error("nothing is renewed in the background any more: %s", error)
