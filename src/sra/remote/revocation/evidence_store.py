"""Evidence in memory and on the disk, renewed in good time, so that no login has to wait for a server."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from sra.identity.crl import RevocationList
from sra.identity.ocsp import OcspAnswer
from sra.identity.revocation import CLOCK_TOLERANCE, EvidenceError
from sra.identity.status import StatusAnswer
from sra.identity.x509_reading import day
from sra.logs import clean
from sra.remote.revocation.cache import Cache, CachedAnswer
from sra.remote.revocation.sources import ListSource, Source, digest

MAX_ANSWERS = 4096
"""OCSP answers and lists in memory."""

MAX_SERIALS = 4_000_000
"""Entries of all lists in memory (some 130 bytes each): four of the longest ones."""

RENEW_AFTER = timedelta(hours=4)
"""At the latest, so that an unscheduled list is seen; earlier if half of an answer's time is over."""

RENEW_AT_FIRST = timedelta(minutes=15)
"""An answer that is fresh for less than twice this time is not renewed in the background, but fetched when needed."""

RETRY_AFTER = timedelta(seconds=30)
"""After a failure. Until then, a caller who needs the answer gets the failure immediately."""

FORGET_AFTER = timedelta(days=7)
"""An answer that was not needed for this long is no longer renewed."""

TIME_TO_READ = 5.0
"""Seconds for verifying an answer: the longest list takes three."""

THREADS = 4
"""For questions only: servers that don't answer never delay what is read from the disk."""

ROUND = 15.0
"""Seconds between two checks for answers that have to be renewed."""

log = logging.getLogger("sra.revocation")


@dataclass
class _SourceState:
    """What is known of one source: its answer, when that came, when it was last needed, and the last failure.

    ``unfit``: an answer that is too old or too new to prove a certificate good; what it revokes is revoked.
    """

    source: Source
    needed: datetime
    is_recalled: bool = False
    answer: StatusAnswer | None = None
    unfit: StatusAnswer | None = None
    fetched: datetime | None = None
    failed: datetime | None = None
    problem: str = ""
    asking: asyncio.Task[StatusAnswer] | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether the answer should be renewed, though it is still fresh."""
        if self.answer is None or self.fetched is None or now - self.needed > FORGET_AFTER:
            return False
        half = (self.answer.fresh_until - self.fetched) / 2
        return half >= RENEW_AT_FIRST and now >= self.fetched + min(half, RENEW_AFTER) and not self.has_just_failed(now)

    def has_just_failed(self, now: datetime) -> bool:
        """Whether the source failed so recently that it is not asked now."""
        return self.failed is not None and timedelta(0) <= now - self.failed < RETRY_AFTER

    @property
    def weight(self) -> int:
        """The number of entries in memory."""
        return self.answer.count if isinstance(self.answer, RevocationList) else 0


class EvidenceStore:
    """The answers of sources. ``max_age``: how long an answer is fresh; ``timeout``: seconds for one question."""

    def __init__(self, cache: Cache, max_age: timedelta, timeout: float) -> None:
        self._cache = cache
        self._max_age = max_age
        self._timeout = timeout
        self._states: OrderedDict[str, _SourceState] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, "sra-revocation")

    async def at_hand(self, source: Source, now: datetime) -> StatusAnswer | None:
        """The stored answer, in memory or on the disk, fresh or not; the source is not asked."""
        state = self._state(source, now)
        if not state.is_recalled:
            recalled = await asyncio.to_thread(self._recall, source, now)
            state.is_recalled = True
            if recalled is not None and state.answer is None:
                state.answer, state.fetched = recalled
                self._forget()
        return state.answer

    def unfit(self, source: Source) -> StatusAnswer | None:
        """The last signed answer that was not accepted: it only counts for what it revokes."""
        state = self._states.get(source.key)
        return None if state is None else state.unfit

    async def ask(self, source: Source, now: datetime) -> StatusAnswer:
        """A new answer; raise ``EvidenceError`` if there is none. Simultaneous callers share one question."""
        return await self._shared(self._state(source, now), now)

    async def renew(self, now: datetime) -> None:
        """Ask the sources whose answers are due."""
        due = [state for state in self._states.values() if state.is_due(now)]
        await asyncio.gather(*(self._shared(state, now) for state in due), return_exceptions=True)

    async def keep_fresh(self, clock: Callable[[], datetime]) -> None:
        """Renew answers until cancelled."""
        while True:
            await asyncio.sleep(ROUND)
            await self.renew(clock())

    async def recall_lists(self, issuers: Iterable[x509.Certificate], now: datetime) -> None:
        """Load the lists of these issuers from the disk, as after a start."""
        known = {digest(issuer): issuer for issuer in issuers}
        for source in await asyncio.to_thread(self._kept_lists, known):
            await self.at_hand(source, now)

    def close(self) -> None:
        """Ask no more sources."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _shared(self, state: _SourceState, now: datetime) -> StatusAnswer:
        if state.has_just_failed(now):
            raise EvidenceError(state.problem)
        if state.asking is None:
            state.asking = asyncio.create_task(self._ask(state, now))
            # The log has the failure already, so one that no caller waited for is only retrieved here.
            state.asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(state.asking)

    async def _ask(self, state: _SourceState, now: datetime) -> StatusAnswer:
        try:
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._threads, state.source.ask, now, self._timeout)
            body, answer = await asyncio.wait_for(asked, self._timeout + TIME_TO_READ)
            _check_newer(answer, state, now)
        except (EvidenceError, TimeoutError) as error:
            self._forget()
            state.failed, state.problem = now, str(error) or f"{clean(state.source.address)}: no answer in time"
            log.warning("%s", state.problem)
            raise EvidenceError(state.problem) from error
        finally:
            state.asking = None
        state.unfit = None
        state.answer, state.fetched, state.failed = answer.at_most_until(now + self._max_age), now, None
        state.is_recalled = True
        self._forget()
        kept = CachedAnswer(state.source.address, digest(state.source.issuer), now, body)
        self._threads.submit(self._cache.write, state.source.key, kept)
        return state.answer

    def _recall(self, source: Source, now: datetime) -> tuple[StatusAnswer, datetime] | None:
        """The answer on the disk, if it is this source's and still valid. Blocks."""
        kept = self._cache.read(source.key)
        if kept is None:
            return None
        try:
            answer = source.verify(kept.body, now)
        except EvidenceError as error:
            problem = str(error)
        else:
            fetched = now if _is_final(answer) else kept.fetched
            if fetched <= now + CLOCK_TOLERANCE:
                return answer.at_most_until(fetched + self._max_age), fetched
            problem = "it comes from the future"  # a clock was wrong
        log.warning("the stored answer of %s is not used: %s", clean(source.address), problem)
        self._cache.remove(source.key)
        return None

    def _kept_lists(self, known: dict[str, x509.Certificate]) -> list[ListSource]:
        sources = [
            (key, ListSource(kept.address, known[kept.issuer], tuple(known.values())))
            for key, kept in self._cache.all()
            if kept.issuer in known
        ]
        return [source for key, source in sources if source.key == key]

    def _state(self, source: Source, now: datetime) -> _SourceState:
        state = self._states.setdefault(source.key, _SourceState(source, now))
        state.needed = now
        self._states.move_to_end(source.key)
        return state

    def _forget(self) -> None:
        """Drop the answers that were needed longest ago, until the rest fits in memory; they stay on the disk."""
        weight = sum(state.weight for state in self._states.values())
        for key, state in list(self._states.items())[:-1]:
            if len(self._states) <= MAX_ANSWERS and weight <= MAX_SERIALS:
                break
            if state.asking is None:
                weight -= state.weight
                del self._states[key]


class OfflineEvidenceStore(EvidenceStore):
    """A store that never asks a source: it only has the evidence in memory and on the disk."""

    async def ask(self, source: Source, now: datetime) -> StatusAnswer:
        """Raise ``EvidenceError``."""
        raise EvidenceError("no source is asked here")


def _check_newer(answer: StatusAnswer, state: _SourceState, now: datetime) -> None:
    """Raise ``EvidenceError`` for an answer that is stale or from the future, or a list older than a former one.

    It is kept as ``unfit``. A final revocation is always accepted, and no later answer reverts it. The nonce of an OCSP
    answer proves that it is new, so its time is not compared: the clocks of several servers may differ.
    """
    if _is_final(answer):
        return
    if state.answer is not None and _is_final(state.answer):
        raise EvidenceError(f"{answer.source} says that it is good, but it was revoked before")
    latest, old, problem = now + CLOCK_TOLERANCE, state.answer, ""
    if answer.fresh_until < now:
        problem = f"{answer.source} is stale since {day(answer.fresh_until)}"
    elif answer.this_update > latest:
        problem = f"{answer.source} is not valid before {day(answer.this_update)}: check the remote's clock"
    elif isinstance(old, RevocationList) and answer.this_update < old.this_update <= latest:
        problem = f"{answer.source} is older than a former one"
    if problem:
        state.unfit = answer
        raise EvidenceError(problem)


def _is_final(answer: StatusAnswer) -> bool:
    """Whether the answer revokes the certificate finally, not only on hold (RFC 5280, 5.3.1)."""
    revocation = answer.revocation if isinstance(answer, OcspAnswer) else None
    return revocation is not None and not revocation.is_on_hold
