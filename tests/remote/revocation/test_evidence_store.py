import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sra.identity import crl
from sra.identity.authorities import Issued
from sra.identity.revocation import EvidenceError
from sra.identity.status import StatusAnswer
from sra.remote.revocation import evidence_store as module
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.evidence_store import FORGET_AFTER, RENEW_AFTER, RETRY_AFTER, EvidenceStore
from sra.remote.revocation.sources import ListSource
from tests.chains import DAY, NOW, Entry, root

ROOT = root()
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
ALICE = Issued(ROOT.issue("Alice"), ROOT.certificate)


@dataclasses.dataclass
class Told:
    """A source that answers what it was told, and counts; ``gate``: not before this opens."""

    answers: list[bytes | Exception]
    address: str = "http://lists.example/a.crl"
    issuer: x509.Certificate = ROOT.certificate
    gate: threading.Event | None = None
    asked: int = 0

    @property
    def key(self) -> str:
        return ListSource(self.address, self.issuer).key

    def ask(self, now: datetime, timeout: float) -> tuple[bytes, StatusAnswer]:
        self.asked += 1
        if self.gate is not None:
            self.gate.wait(10)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, self.verify(answer, now)

    def verify(self, body: bytes, _: datetime) -> StatusAnswer:
        return crl.verify(body, self.issuer)


def listing(*entries: Entry, start: timedelta = -HOUR, end: timedelta = DAY) -> bytes:
    return ROOT.revocation_list(entries, dates=(NOW + start, NOW + end))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "revocation")


@asynccontextmanager
async def session(cache: Cache, max_age: timedelta = 7 * DAY) -> AsyncIterator[EvidenceStore]:
    """One run of the daemon; what its store keeps is on the disk afterwards."""
    store = EvidenceStore(cache, max_age, 5.0)
    yield store
    await asyncio.to_thread(store._threads.shutdown, wait=True)


async def test_nothing_is_at_hand_until_it_was_asked_for(cache: Cache) -> None:
    source = Told([listing()])
    async with session(cache) as store:
        assert await store.at_hand(source, NOW) is None
        answer = await store.ask(source, NOW)
        assert await store.at_hand(source, NOW) is answer
        assert source.asked == 1


async def test_after_a_restart_it_is_at_hand_and_nobody_is_asked(cache: Cache) -> None:
    async with session(cache) as store:
        await store.ask(Told([listing()]), NOW)
    async with session(cache) as store:
        answer = await store.at_hand(Told([]), NOW + HOUR)
        assert answer is not None
        assert answer.fresh_until == NOW + DAY


async def test_what_is_on_the_disk_is_verified_again(cache: Cache) -> None:
    source = Told([listing()])
    async with session(cache) as store:
        await store.ask(source, NOW)
    kept = cache.read(source.key)
    assert kept is not None
    for changed in (
        kept.__class__(kept.address, kept.issuer, kept.fetched, kept.body[:-1] + bytes([kept.body[-1] ^ 1])),
        kept.__class__(kept.address, kept.issuer, NOW + DAY, kept.body),
    ):
        cache.write(source.key, changed)
        async with session(cache) as store:
            assert await store.at_hand(Told([]), NOW) is None
        assert cache.read(source.key) is None


async def test_an_answer_counts_no_longer_than_allowed_even_after_a_restart(cache: Cache) -> None:
    async with session(cache, 2 * HOUR) as store:
        assert (await store.ask(Told([listing()]), NOW)).fresh_until == NOW + 2 * HOUR
    async with session(cache, 2 * HOUR) as store:
        answer = await store.at_hand(Told([]), NOW + HOUR)
        assert answer is not None
        assert answer.fresh_until == NOW + 2 * HOUR


async def test_who_asks_at_the_same_time_shares_the_answer_and_may_give_up(cache: Cache) -> None:
    source = Told([listing()], gate=threading.Event())
    async with session(cache) as store:
        asking = [asyncio.create_task(store.ask(source, NOW)) for _ in range(5)]
        await asyncio.sleep(0.05)
        asking[0].cancel()
        assert source.gate is not None
        source.gate.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert len({id(answer) for answer in answers[1:]}) == 1
        assert source.asked == 1


async def test_after_a_failure_nobody_waits_for_another_one_so_soon(cache: Cache) -> None:
    source = Told([EvidenceError("gone"), listing()])
    async with session(cache) as store:
        for moment in (NOW, NOW + RETRY_AFTER / 2):
            with pytest.raises(EvidenceError, match="gone"):
                await store.ask(source, moment)
        assert source.asked == 1
        assert await store.ask(source, NOW + RETRY_AFTER)


async def test_a_stale_answer_or_one_older_than_before_is_not_taken(cache: Cache) -> None:
    new, old = listing(start=-HOUR), listing(start=-2 * HOUR)
    stale = listing(start=-3 * DAY, end=-DAY)
    source = Told([new, old, stale])
    async with session(cache) as store:
        answer = await store.ask(source, NOW)
        with pytest.raises(EvidenceError, match="an older one than came before"):
            await store.ask(source, NOW + MINUTE)
        with pytest.raises(EvidenceError, match="stale since 2030-01-14"):
            await store.ask(source, NOW + 2 * MINUTE)
        assert await store.at_hand(source, NOW) is answer
        unfit = store.unfit(source)
        assert unfit is not None
        assert unfit.fresh_until == NOW - DAY
    kept = cache.read(source.key)
    assert kept is not None
    assert kept.body == new


async def test_a_list_from_the_future_is_not_taken_and_blocks_no_later_one(cache: Cache) -> None:
    source = Told([listing(start=HOUR), listing()])
    async with session(cache) as store:
        with pytest.raises(EvidenceError, match="check the remote's clock"):
            await store.ask(source, NOW)
        assert await store.ask(source, NOW + RETRY_AFTER)


async def test_a_clock_that_was_set_back_does_not_keep_anybody_from_asking(cache: Cache) -> None:
    source = Told([EvidenceError("gone"), listing()])
    async with session(cache) as store:
        with pytest.raises(EvidenceError, match="gone"):
            await store.ask(source, NOW + HOUR)
        assert await store.ask(source, NOW)


async def test_a_server_that_never_answers_is_given_up(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIME_TO_READ", 0.1)
    source = Told([listing()], gate=threading.Event())
    store = EvidenceStore(cache, DAY, 0.1)
    with pytest.raises(EvidenceError, match=r"lists\.example.*no answer in time"):
        await store.ask(source, NOW)
    assert source.gate is not None
    source.gate.set()
    store._threads.shutdown(wait=True)


@pytest.mark.parametrize(
    ("life", "not_yet", "due"),
    [
        (2 * HOUR, HOUR - MINUTE, HOUR),
        (30 * DAY, RENEW_AFTER - MINUTE, RENEW_AFTER),
        (10 * MINUTE, 10 * MINUTE, None),
    ],
    ids=["half of its time", "a long one", "a short one never"],
)
async def test_answers_are_renewed_in_good_time(
    cache: Cache, life: timedelta, not_yet: timedelta, due: timedelta | None
) -> None:
    source = Told([listing(end=life), listing(end=life + HOUR)])
    async with session(cache, 60 * DAY) as store:
        first = await store.ask(source, NOW)
        await store.renew(NOW + not_yet)
        assert source.asked == 1
        if due is not None:
            await store.renew(NOW + due)
            assert source.asked == 2
            second = await store.at_hand(source, NOW + due)
            assert second is not None
            assert second.fresh_until > first.fresh_until


async def test_a_failed_renewal_keeps_what_was_there_and_is_tried_again(cache: Cache) -> None:
    source = Told([listing(), EvidenceError("gone"), listing(end=2 * DAY)])
    async with session(cache) as store:
        first = await store.ask(source, NOW)
        due = NOW + RENEW_AFTER
        await store.renew(due)
        await store.renew(due + RETRY_AFTER / 2)
        assert source.asked == 2
        assert await store.at_hand(source, due) is first
        await store.renew(due + RETRY_AFTER)
        assert await store.at_hand(source, due) is not first


async def test_what_nobody_needs_any_more_is_not_renewed(cache: Cache) -> None:
    source = Told([listing(end=30 * DAY)] * 200)
    async with session(cache, 60 * DAY) as store:
        await store.ask(source, NOW)
        for days in range(1, 20):
            await store.renew(NOW + days * DAY)
        assert source.asked == 1 + FORGET_AFTER.days


async def test_in_the_background_a_list_is_renewed_without_anybody_asking(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUND", 0.01)
    source = Told([listing(), listing(end=2 * DAY)])
    async with session(cache) as store:
        await store.ask(source, NOW)
        renewing = asyncio.create_task(store.keep_fresh(lambda: NOW + RENEW_AFTER))
        async with asyncio.timeout(5):
            while source.asked < 2:  # noqa: ASYNC110 - it is asked in a thread
                await asyncio.sleep(0.01)
        renewing.cancel()


async def test_lists_of_known_issuers_are_recalled_at_the_start(cache: Cache) -> None:
    other = root("Other")
    sources = [Told([listing()]), Told([other.revocation_list()], issuer=other.certificate)]
    async with session(cache) as store:
        for source in sources:
            await store.ask(source, NOW)
    async with session(cache) as store:
        await store.recall_lists([ROOT.certificate], NOW + MINUTE)
        assert [place.source.address for place in store._places.values()] == [sources[0].address]
        assert [place.answer is not None for place in store._places.values()] == [True]


async def test_memory_is_bounded_in_answers_and_in_entries(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERS", 3)
    sources = [Told([listing(Entry(1), Entry(2))], f"http://lists.example/{number}") for number in range(5)]
    async with session(cache) as store:
        for source in sources:
            await store.ask(source, NOW)
        assert [place.source.address[-1] for place in store._places.values()] == ["2", "3", "4"]
        monkeypatch.setattr(module, "MAX_SERIALS", 4)
        await store.ask(Told([listing(Entry(1))], "http://lists.example/5"), NOW)
        assert [place.source.address[-1] for place in store._places.values()] == ["4", "5"]
        assert await store.at_hand(sources[0], NOW) is not None


async def test_the_event_loop_goes_on_while_a_server_is_slow(cache: Cache) -> None:
    source = Told([listing()], gate=threading.Event())
    async with session(cache) as store:
        asking = asyncio.create_task(store.ask(source, NOW))
        start = time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert time.monotonic() - start < 1
        assert source.gate is not None
        source.gate.set()
        await asking
