"""The evidence at hand: in memory, on the disk, and renewed in good time so that nobody who logs in waits for it."""

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
"""At the latest, so that a list published out of turn is seen; earlier when half of an answer's time is over."""

RENEW_AT_FIRST = timedelta(minutes=15)
"""An answer that counts for less than twice this long is not renewed in the background, but asked for when needed."""

RETRY_AFTER = timedelta(seconds=30)
"""After a failure. Until then, whoever needs the answer is told of the failure at once."""

FORGET_AFTER = timedelta(days=7)
"""An answer that nobody has needed for so long is not renewed any more."""

TIME_TO_READ = 5.0
"""Seconds for verifying what came: the longest list takes three."""

THREADS = 4
"""For questions: servers that don't answer never hold up what is read from the disk."""

ROUND = 15.0
"""Seconds between two looks for what has to be renewed."""

log = logging.getLogger("sra.revocation")


@dataclass
class _Place:
    """What is known of one source: its answer, when that came, when it was last needed, and the last failure.

    ``unfit``: an answer that is too old or too new to say that a certificate is good; what it revokes is revoked.
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
        """Whether it is time to ask again, though the answer still counts."""
        if self.answer is None or self.fetched is None or now - self.needed > FORGET_AFTER:
            return False
        half = (self.answer.fresh_until - self.fetched) / 2
        return half >= RENEW_AT_FIRST and now >= self.fetched + min(half, RENEW_AFTER) and not self.has_just_failed(now)

    def has_just_failed(self, now: datetime) -> bool:
        """Whether it was asked in vain so lately that it isn't asked now."""
        return self.failed is not None and timedelta(0) <= now - self.failed < RETRY_AFTER

    @property
    def weight(self) -> int:
        """Entries in memory."""
        return self.answer.count if isinstance(self.answer, RevocationList) else 0


class EvidenceStore:
    """Answers of sources. ``max_age``: how long one counts; ``timeout``: seconds for one question."""

    def __init__(self, cache: Cache, max_age: timedelta, timeout: float) -> None:
        self._cache = cache
        self._max_age = max_age
        self._timeout = timeout
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, "sra-revocation")

    async def at_hand(self, source: Source, now: datetime) -> StatusAnswer | None:
        """The answer that is kept, in memory or on the disk, fresh or not; nobody is asked."""
        place = self._place(source, now)
        if not place.is_recalled:
            recalled = await asyncio.to_thread(self._recall, source, now)
            place.is_recalled = True
            if recalled is not None and place.answer is None:
                place.answer, place.fetched = recalled
                self._forget()
        return place.answer

    def unfit(self, source: Source) -> StatusAnswer | None:
        """The last answer that was not taken, though it is signed: it only counts for what it revokes."""
        place = self._places.get(source.key)
        return None if place is None else place.unfit

    async def ask(self, source: Source, now: datetime) -> StatusAnswer:
        """A new answer; raise ``EvidenceError`` if there is none. Who asks while another does gets the same."""
        return await self._shared(self._place(source, now), now)

    async def renew(self, now: datetime) -> None:
        """Ask again wherever it is time to."""
        due = [place for place in self._places.values() if place.is_due(now)]
        await asyncio.gather(*(self._shared(place, now) for place in due), return_exceptions=True)

    async def keep_fresh(self, clock: Callable[[], datetime]) -> None:
        """Renew for ever."""
        while True:
            await asyncio.sleep(ROUND)
            await self.renew(clock())

    async def recall_lists(self, issuers: Iterable[x509.Certificate], now: datetime) -> None:
        """Have the lists of these issuers that are on the disk at hand, as after a start."""
        known = {digest(issuer): issuer for issuer in issuers}
        for source in await asyncio.to_thread(self._kept_lists, known):
            await self.at_hand(source, now)

    def close(self) -> None:
        """Ask nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _shared(self, place: _Place, now: datetime) -> StatusAnswer:
        if place.has_just_failed(now):
            raise EvidenceError(place.problem)
        if place.asking is None:
            place.asking = asyncio.create_task(self._ask(place, now))
            place.asking.add_done_callback(_look_at)
        return await asyncio.shield(place.asking)

    async def _ask(self, place: _Place, now: datetime) -> StatusAnswer:
        try:
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._threads, place.source.ask, now, self._timeout)
            body, answer = await asyncio.wait_for(asked, self._timeout + TIME_TO_READ)
            _check_newer(answer, place, now)
        except (EvidenceError, TimeoutError) as error:
            self._forget()
            place.failed, place.problem = now, str(error) or f"{clean(place.source.address)}: no answer in time"
            log.warning("%s", place.problem)
            raise EvidenceError(place.problem) from error
        finally:
            place.asking = None
        place.unfit = None
        place.answer, place.fetched, place.failed = answer.at_most_until(now + self._max_age), now, None
        place.is_recalled = True
        self._forget()
        kept = CachedAnswer(place.source.address, digest(place.source.issuer), now, body)
        self._threads.submit(self._cache.write, place.source.key, kept)
        return place.answer

    def _recall(self, source: Source, now: datetime) -> tuple[StatusAnswer, datetime] | None:
        """The answer on the disk, if it is this source's and can still be believed. Blocks."""
        kept = self._cache.read(source.key)
        if kept is None:
            return None
        try:
            answer = source.verify(kept.body, now)
            fetched = now if _is_final(answer) else _check_past(kept.fetched, now)
            return answer.at_most_until(fetched + self._max_age), fetched
        except EvidenceError as error:
            log.warning("what was kept of %s is not used: %s", clean(source.address), error)
            self._cache.remove(source.key)
            return None

    def _kept_lists(self, known: dict[str, x509.Certificate]) -> list[ListSource]:
        sources = [
            (key, ListSource(kept.address, known[kept.issuer], tuple(known.values())))
            for key, kept in self._cache.all()
            if kept.issuer in known
        ]
        return [source for key, source in sources if source.key == key]

    def _place(self, source: Source, now: datetime) -> _Place:
        place = self._places.setdefault(source.key, _Place(source, now))
        place.needed = now
        self._places.move_to_end(source.key)
        return place

    def _forget(self) -> None:
        """Give up what was needed longest ago, until the rest fits in memory; it is still on the disk."""
        weight = sum(place.weight for place in self._places.values())
        for key, place in list(self._places.items())[:-1]:
            if len(self._places) <= MAX_ANSWERS and weight <= MAX_SERIALS:
                break
            if place.asking is None:
                weight -= place.weight
                del self._places[key]


class OfflineEvidenceStore(EvidenceStore):
    """A shelf that asks nobody: what is at hand, in memory or on the disk, is all there is."""

    async def ask(self, source: Source, now: datetime) -> StatusAnswer:
        """Raise ``EvidenceError``."""
        raise EvidenceError("nobody is asked here")


def _check_past(fetched: datetime, now: datetime) -> datetime:
    """The moment; raise ``EvidenceError`` if it is still to come: then a clock was wrong."""
    if fetched > now + CLOCK_TOLERANCE:
        raise EvidenceError("it comes from the future")
    return fetched


def _check_newer(answer: StatusAnswer, place: _Place, now: datetime) -> None:
    """Raise ``EvidenceError`` for an answer that is stale or from the future, or a list older than one from before.

    It stays at hand as ``unfit``. A revocation for good is always taken, and no other answer takes it back. OCSP
    answers are made new by their nonces; those of several servers may differ by the seconds of their clocks.
    """
    if _is_final(answer):
        return
    if place.answer is not None and _is_final(place.answer):
        raise EvidenceError(f"{answer.source} says that it is good, after it was revoked before")
    latest, old, problem = now + CLOCK_TOLERANCE, place.answer, ""
    if answer.fresh_until < now:
        problem = f"{answer.source} is stale since {day(answer.fresh_until)}"
    elif answer.this_update > latest:
        problem = f"{answer.source} is not valid before {day(answer.this_update)}: check the remote's clock"
    elif isinstance(old, RevocationList) and answer.this_update < old.this_update <= latest:
        problem = f"{answer.source} is an older one than came before"
    if problem:
        place.unfit = answer
        raise EvidenceError(problem)


def _is_final(answer: StatusAnswer) -> bool:
    """Whether it says that the certificate is revoked for good (RFC 5280, 5.3.1)."""
    revocation = answer.revocation if isinstance(answer, OcspAnswer) else None
    return revocation is not None and not revocation.is_on_hold


def _look_at(task: asyncio.Task[StatusAnswer]) -> None:
    """Take note of a failure that nobody waited for; it is in the log already."""
    if not task.cancelled():
        task.exception()
