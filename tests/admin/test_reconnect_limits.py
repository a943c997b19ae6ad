"""Limits of a connection, orders to eject and insert, and how long a link was away."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import msgspec
import pytest

from sra.admin import kept_connection as staying
from sra.admin.events import Inserted
from sra.admin.kept_connection import ConnectionSettings, KeptConnection
from sra.admin.session import AdminSession
from sra.errors import LinkError, RefusalCode, RefusedError
from sra.piv.keys import Slot
from sra.wire.messages import NO_LIMITS
from tests.admin.connecting import Pins, connect
from tests.admin.guard_scene import Clock
from tests.admin.watching import Watching
from tests.loopback import until
from tests.memory_card import MemoryCard
from tests.memory_remote import MemoryRemote, running_remote

SLOTS = frozenset({Slot.AUTHENTICATION})


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the usual times, and a look at the clock every few milliseconds."""
    monkeypatch.setattr(staying, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(staying, "LONGEST_WAIT", 0.02)
    monkeypatch.setattr(staying, "LONGEST_SLEEP", 0.005)


class Scene:
    """An admin who stays connected, by a clock that the test moves."""

    def __init__(self, remote: MemoryRemote) -> None:
        self.remote = remote
        self.clock = Clock()
        self.card = MemoryCard()
        self.watching = Watching()
        self.pins = Pins()
        self.limits = NO_LIMITS
        self.away: list[float] = []
        self.sessions: list[AdminSession] = []
        self.staying: KeptConnection
        self.broken = False
        remote.accounts.pair(self.card, "ann")

    async def dial(self, away: float) -> AdminSession:
        self.away.append(away)
        if self.broken:
            raise LinkError("still broken")
        session = await connect(self.remote.port, self.card, pins=self.pins, watching=self.watching)
        session.limits = self.limits
        session.lending.last_use = self.clock()
        self.sessions.append(session)
        return session

    def stay(self, *, idle: float = 0, total: float = 0) -> asyncio.Task[None]:
        self.staying = KeptConnection(
            self.dial, ConnectionSettings(SLOTS, idle=idle, total=total), self.watching, self.clock
        )
        return asyncio.create_task(self.staying.run())

    async def until_inserted(self, times: int = 1) -> None:
        await until(lambda: len(self.watching.of(Inserted)) == times)

    def cut(self) -> None:
        self.sessions[-1]._channel.abort(LinkError("the cable"))

    @property
    def is_present(self) -> bool:
        return bool(self.remote.readers[0].present)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with running_remote() as remote:
        yield Scene(remote)


async def end(stay: asyncio.Task[None]) -> None:
    stay.cancel()
    await asyncio.gather(stay, return_exceptions=True)
    assert stay.cancelled()


async def reason(stay: asyncio.Task[None]) -> str:
    with pytest.raises(RefusedError) as refused:
        async with asyncio.timeout(5):
            await stay
    assert refused.value.code is RefusalCode.TIMEOUT
    return refused.value.text


async def goes_on(stay: asyncio.Task[None]) -> bool:
    await asyncio.sleep(0.03)
    return not stay.done()


OURS_AND_THEIRS = [(60, 0, 60), (0, 60, 60), (60, 3600, 60), (3600, 60, 60)]


@pytest.mark.parametrize(("ours", "theirs", "seconds"), OURS_AND_THEIRS)
async def test_a_card_that_is_not_used_ends_the_connection_by_the_stricter_limit(
    scene: Scene, ours: float, theirs: int, seconds: float
) -> None:
    scene.limits = msgspec.structs.replace(NO_LIMITS, idle=theirs)
    stay = scene.stay(idle=ours)
    await scene.until_inserted()
    scene.clock.now += seconds - 1
    scene.sessions[0].lending.last_use = scene.clock()
    scene.clock.now += seconds - 1
    assert await goes_on(stay)
    scene.clock.now += 1
    assert "not used for as long as it may be unused; connect again" in await reason(stay)
    assert not scene.is_present


@pytest.mark.parametrize(("ours", "theirs", "seconds"), OURS_AND_THEIRS)
async def test_a_connection_ends_at_its_age_however_much_it_is_used(
    scene: Scene, ours: float, theirs: int, seconds: float
) -> None:
    scene.limits = msgspec.structs.replace(NO_LIMITS, total=theirs)
    stay = scene.stay(total=ours)
    await scene.until_inserted()
    scene.clock.now += seconds - 1
    assert await goes_on(stay)
    scene.sessions[0].lending.last_use = scene.clock()
    scene.clock.now += 1
    assert "lasted as long as it may" in await reason(stay)
    assert not scene.is_present


async def test_without_limits_it_stays_for_ever(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.clock.now += 1e9
    assert await goes_on(stay)
    await end(stay)


@pytest.mark.parametrize("limit", ["idle", "total"])
async def test_who_breaks_the_link_gains_no_time(scene: Scene, limit: str) -> None:
    stay = scene.stay(**{limit: 60})
    for times in (1, 2, 3):
        await scene.until_inserted(times)
        scene.clock.now += 19
        scene.cut()
    await scene.until_inserted(4)
    scene.clock.now += 4
    assert "connect again" in await reason(stay)


@pytest.mark.parametrize("limit", ["idle", "total"])
async def test_a_limit_that_is_reached_while_the_link_is_away_ends_it_and_asks_nothing(
    scene: Scene, limit: str
) -> None:
    stay = scene.stay(**{limit: 60})
    await scene.until_inserted()
    scene.broken = True
    scene.cut()
    await until(lambda: len(scene.away) > 1)
    scene.clock.now += 60
    dialled = len(scene.away)
    assert "connect again" in await reason(stay)
    assert len(scene.away) <= dialled + 1


async def test_the_time_away_is_told_and_what_the_machine_slept_counts(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.clock.now += 5000  # all at once, while the event loop's own clock stands still
    scene.cut()
    await scene.until_inserted(2)
    assert scene.away[0] == 0
    assert 4990 < scene.away[1] <= 5000
    scene.cut()
    await scene.until_inserted(3)
    assert scene.away[2] < 1
    await end(stay)


# Orders.


async def test_an_ejected_card_stays_out_until_it_is_wanted_again(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    await scene.staying.eject()
    assert not scene.is_present
    assert await goes_on(stay)
    assert not scene.is_present
    assert not scene.sessions[0]._channel.is_lost
    scene.staying.insert()
    await scene.until_inserted(2)
    assert scene.is_present
    assert len(scene.away) == 1
    await end(stay)


async def test_an_ejected_card_stays_out_after_a_broken_link_too(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    await scene.staying.eject()
    scene.cut()
    await until(lambda: len(scene.sessions) == 2)
    assert await goes_on(stay)
    assert not scene.is_present
    scene.staying.insert()
    await scene.until_inserted(2)
    await end(stay)


async def test_a_card_can_be_ejected_while_the_link_is_away(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.broken = True
    scene.cut()
    await until(lambda: len(scene.away) > 1)
    await scene.staying.eject()
    scene.broken = False
    await until(lambda: len(scene.sessions) == 2)
    assert await goes_on(stay)
    assert not scene.is_present
    await end(stay)


async def test_an_ejection_in_the_middle_of_an_insertion_comes_after_it(scene: Scene) -> None:
    reader = scene.remote.readers[0]
    reader.may_open.clear()
    stay = scene.stay()
    await reader.opening.wait()
    ejecting = asyncio.create_task(scene.staying.eject())
    await asyncio.sleep(0)
    guard = scene.sessions[0]._guard
    assert guard is not None
    assert guard.has_ended, "nothing is answered from this moment on"
    reader.may_open.set()
    async with asyncio.timeout(5):
        await ejecting
    assert not scene.is_present
    assert await goes_on(stay)
    scene.staying.insert()
    await until(lambda: scene.is_present)
    await end(stay)


@pytest.mark.parametrize(("limit", "reason"), [("idle", "was not used for as long"), ("total", "lasted as long")])
async def test_the_remote_ends_it_by_itself_at_its_owners_limit_and_wants_no_new_connection(
    limit: str, reason: str
) -> None:
    async with running_remote() as remote:
        limits = msgspec.structs.replace(NO_LIMITS, **{limit: 1})
        admission = dataclasses.replace(remote.sessions.admission, session_limits=limits)
        remote.sessions.admission = remote.network._admission = admission
        card = MemoryCard()
        remote.accounts.pair(card, "ann")
        session = await connect(remote.port, card)
        assert session.limits == limits
        await session.insert(SLOTS)
        with pytest.raises(LinkError, match=f"{reason} as the remote's owner allows"):
            await session.hold(asyncio.Event().wait)
        assert session.is_final
        assert remote.readers[0].present == []
        assert "owner allows" in str(remote.records.of("ejected")[0]["reason"])
        await session.close("over")
