import asyncio
import dataclasses
import threading
import time
from collections.abc import Awaitable, Callable
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


def run(cache: Cache, work: Callable[[EvidenceStore], Awaitable[None]], max_age: timedelta = 7 * DAY) -> None:
    """Do the work with a evidence, as one run of the daemon; what it keeps is on the disk afterwards."""
    evidence = EvidenceStore(cache, max_age, 5.0)

    async def session() -> None:
        await work(evidence)

    asyncio.run(session())
    evidence._threads.shutdown(wait=True)


def test_nothing_is_at_hand_until_it_was_asked_for(cache: Cache) -> None:
    source = Told([listing()])

    async def work(evidence: EvidenceStore) -> None:
        assert await evidence.at_hand(source, NOW) is None
        answer = await evidence.ask(source, NOW)
        assert await evidence.at_hand(source, NOW) is answer
        assert source.asked == 1

    run(cache, work)


def test_after_a_restart_it_is_at_hand_and_nobody_is_asked(cache: Cache) -> None:
    async def first(evidence: EvidenceStore) -> None:
        await evidence.ask(Told([listing()]), NOW)

    async def second(evidence: EvidenceStore) -> None:
        answer = await evidence.at_hand(Told([]), NOW + HOUR)
        assert answer is not None
        assert answer.fresh_until == NOW + DAY

    run(cache, first)
    run(cache, second)


def test_what_is_on_the_disk_is_verified_again(cache: Cache) -> None:
    source = Told([listing()])

    async def first(evidence: EvidenceStore) -> None:
        await evidence.ask(source, NOW)

    async def second(evidence: EvidenceStore) -> None:
        assert await evidence.at_hand(Told([]), NOW) is None

    run(cache, first)
    kept = cache.read(source.key)
    assert kept is not None
    for changed in (
        kept.__class__(kept.address, kept.issuer, kept.fetched, kept.body[:-1] + bytes([kept.body[-1] ^ 1])),
        kept.__class__(kept.address, kept.issuer, NOW + DAY, kept.body),
    ):
        cache.write(source.key, changed)
        run(cache, second)
        assert cache.read(source.key) is None


def test_an_answer_counts_no_longer_than_allowed_even_after_a_restart(cache: Cache) -> None:
    async def first(evidence: EvidenceStore) -> None:
        assert (await evidence.ask(Told([listing()]), NOW)).fresh_until == NOW + 2 * HOUR

    async def second(evidence: EvidenceStore) -> None:
        answer = await evidence.at_hand(Told([]), NOW + HOUR)
        assert answer is not None
        assert answer.fresh_until == NOW + 2 * HOUR

    run(cache, first, 2 * HOUR)
    run(cache, second, 2 * HOUR)


def test_who_asks_at_the_same_time_shares_the_answer_and_may_give_up(cache: Cache) -> None:
    source = Told([listing()], gate=threading.Event())

    async def work(evidence: EvidenceStore) -> None:
        asking = [asyncio.create_task(evidence.ask(source, NOW)) for _ in range(5)]
        await asyncio.sleep(0.05)
        asking[0].cancel()
        assert source.gate is not None
        source.gate.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert len({id(answer) for answer in answers[1:]}) == 1
        assert source.asked == 1

    run(cache, work)


def test_after_a_failure_nobody_waits_for_another_one_so_soon(cache: Cache) -> None:
    source = Told([EvidenceError("gone"), listing()])

    async def work(evidence: EvidenceStore) -> None:
        for moment in (NOW, NOW + RETRY_AFTER / 2):
            with pytest.raises(EvidenceError, match="gone"):
                await evidence.ask(source, moment)
        assert source.asked == 1
        assert await evidence.ask(source, NOW + RETRY_AFTER)

    run(cache, work)


def test_a_stale_answer_or_one_older_than_before_is_not_taken(cache: Cache) -> None:
    new, old = listing(start=-HOUR), listing(start=-2 * HOUR)
    stale = listing(start=-3 * DAY, end=-DAY)
    source = Told([new, old, stale])

    async def work(evidence: EvidenceStore) -> None:
        answer = await evidence.ask(source, NOW)
        with pytest.raises(EvidenceError, match="is older than a former one"):
            await evidence.ask(source, NOW + MINUTE)
        with pytest.raises(EvidenceError, match="stale since 2030-01-14"):
            await evidence.ask(source, NOW + 2 * MINUTE)
        assert await evidence.at_hand(source, NOW) is answer
        unfit = evidence.unfit(source)
        assert unfit is not None
        assert unfit.fresh_until == NOW - DAY

    run(cache, work)
    kept = cache.read(source.key)
    assert kept is not None
    assert kept.body == new


def test_a_list_from_the_future_is_not_taken_and_blocks_no_later_one(cache: Cache) -> None:
    source = Told([listing(start=HOUR), listing()])

    async def work(evidence: EvidenceStore) -> None:
        with pytest.raises(EvidenceError, match="check the remote's clock"):
            await evidence.ask(source, NOW)
        assert await evidence.ask(source, NOW + RETRY_AFTER)

    run(cache, work)


def test_a_clock_that_was_set_back_does_not_keep_anybody_from_asking(cache: Cache) -> None:
    source = Told([EvidenceError("gone"), listing()])

    async def work(evidence: EvidenceStore) -> None:
        with pytest.raises(EvidenceError, match="gone"):
            await evidence.ask(source, NOW + HOUR)
        assert await evidence.ask(source, NOW)

    run(cache, work)


async def test_a_server_that_never_answers_is_given_up(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIME_TO_READ", 0.1)
    source = Told([listing()], gate=threading.Event())
    evidence = EvidenceStore(cache, DAY, 0.1)
    with pytest.raises(EvidenceError, match=r"lists\.example.*no answer in time"):
        await evidence.ask(source, NOW)
    assert source.gate is not None
    source.gate.set()
    evidence._threads.shutdown(wait=True)


@pytest.mark.parametrize(
    ("life", "not_yet", "due"),
    [
        (2 * HOUR, HOUR - MINUTE, HOUR),
        (30 * DAY, RENEW_AFTER - MINUTE, RENEW_AFTER),
        (10 * MINUTE, 10 * MINUTE, None),
    ],
    ids=["half of its time", "a long one", "a short one never"],
)
def test_answers_are_renewed_in_good_time(
    cache: Cache, life: timedelta, not_yet: timedelta, due: timedelta | None
) -> None:
    source = Told([listing(end=life), listing(end=life + HOUR)])

    async def work(evidence: EvidenceStore) -> None:
        first = await evidence.ask(source, NOW)
        await evidence.renew(NOW + not_yet)
        assert source.asked == 1
        if due is not None:
            await evidence.renew(NOW + due)
            assert source.asked == 2
            second = await evidence.at_hand(source, NOW + due)
            assert second is not None
            assert second.fresh_until > first.fresh_until

    run(cache, work, 60 * DAY)


def test_a_failed_renewal_keeps_what_was_there_and_is_tried_again(cache: Cache) -> None:
    source = Told([listing(), EvidenceError("gone"), listing(end=2 * DAY)])

    async def work(evidence: EvidenceStore) -> None:
        first = await evidence.ask(source, NOW)
        due = NOW + RENEW_AFTER
        await evidence.renew(due)
        await evidence.renew(due + RETRY_AFTER / 2)
        assert source.asked == 2
        assert await evidence.at_hand(source, due) is first
        await evidence.renew(due + RETRY_AFTER)
        assert await evidence.at_hand(source, due) is not first

    run(cache, work)


def test_what_nobody_needs_any_more_is_not_renewed(cache: Cache) -> None:
    source = Told([listing(end=30 * DAY)] * 200)

    async def work(evidence: EvidenceStore) -> None:
        await evidence.ask(source, NOW)
        for days in range(1, 20):
            await evidence.renew(NOW + days * DAY)
        assert source.asked == 1 + FORGET_AFTER.days

    run(cache, work, 60 * DAY)


def test_in_the_background_a_list_is_renewed_without_anybody_asking(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUND", 0.01)
    source = Told([listing(), listing(end=2 * DAY)])

    async def work(evidence: EvidenceStore) -> None:
        await evidence.ask(source, NOW)
        renewing = asyncio.create_task(evidence.keep_fresh(lambda: NOW + RENEW_AFTER))
        async with asyncio.timeout(5):
            while source.asked < 2:  # noqa: ASYNC110 - it is asked in a thread
                await asyncio.sleep(0.01)
        renewing.cancel()

    run(cache, work)


def test_lists_of_known_issuers_are_recalled_at_the_start(cache: Cache) -> None:
    other = root("Other")
    sources = [Told([listing()]), Told([other.revocation_list()], issuer=other.certificate)]

    async def first(evidence: EvidenceStore) -> None:
        for source in sources:
            await evidence.ask(source, NOW)

    async def second(evidence: EvidenceStore) -> None:
        await evidence.recall_lists([ROOT.certificate], NOW + MINUTE)
        assert [place.source.address for place in evidence._states.values()] == [sources[0].address]
        assert [place.answer is not None for place in evidence._states.values()] == [True]

    run(cache, first)
    run(cache, second)


def test_memory_is_bounded_in_answers_and_in_entries(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERS", 3)
    sources = [Told([listing(Entry(1), Entry(2))], f"http://lists.example/{number}") for number in range(5)]

    async def work(evidence: EvidenceStore) -> None:
        for source in sources:
            await evidence.ask(source, NOW)
        assert [place.source.address[-1] for place in evidence._states.values()] == ["2", "3", "4"]
        monkeypatch.setattr(module, "MAX_SERIALS", 4)
        await evidence.ask(Told([listing(Entry(1))], "http://lists.example/5"), NOW)
        assert [place.source.address[-1] for place in evidence._states.values()] == ["4", "5"]
        assert await evidence.at_hand(sources[0], NOW) is not None

    run(cache, work)


def test_the_event_loop_goes_on_while_a_server_is_slow(cache: Cache) -> None:
    source = Told([listing()], gate=threading.Event())

    async def work(evidence: EvidenceStore) -> None:
        asking = asyncio.create_task(evidence.ask(source, NOW))
        start = time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert time.monotonic() - start < 1
        assert source.gate is not None
        source.gate.set()
        await asking

    run(cache, work)
