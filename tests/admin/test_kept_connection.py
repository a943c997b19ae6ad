"""Staying connected: when it comes back by itself, and when it doesn't."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sra.admin import kept_connection as staying
from sra.admin.events import Ejected, Inserted, LinkLost
from sra.admin.kept_connection import ConnectionSettings, KeptConnection
from sra.admin.session import AdminSession
from sra.errors import CardRemovedError, LinkError, PinWrongError, RefusalCode, RefusedError
from sra.piv.keys import Slot
from tests.admin.connecting import Pins, connect
from tests.admin.watching import Watching
from tests.loopback import until
from tests.memory_card import MemoryCard
from tests.memory_remote import MemoryRemote, running_remote

WISHES = ConnectionSettings(frozenset({Slot.AUTHENTICATION}))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the usual times between tries."""
    monkeypatch.setattr(staying, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(staying, "LONGEST_WAIT", 0.08)


class Scene:
    """An admin who stays connected to a remote."""

    def __init__(self, remote: MemoryRemote) -> None:
        self.remote = remote
        self.card = MemoryCard()
        self.watching = Watching()
        self.pins = Pins()
        self.dialled = 0
        self.sessions: list[AdminSession] = []
        self.broken: Exception | None = None
        remote.accounts.pair(self.card, "ann")

    async def dial(self, away: float) -> AdminSession:
        assert away >= 0
        self.dialled += 1
        if self.broken is not None:
            raise self.broken
        session = await connect(self.remote.port, self.card, pins=self.pins, watching=self.watching)
        self.sessions.append(session)
        return session

    def stay(self, wishes: ConnectionSettings = WISHES) -> asyncio.Task[None]:
        return asyncio.create_task(KeptConnection(self.dial, wishes, self.watching).run())

    async def until_inserted(self, times: int = 1) -> None:
        await until(lambda: len(self.watching.of(Inserted)) == times)

    def cut(self) -> None:
        self.sessions[-1]._channel.abort(LinkError("the cable"))


async def end(stay: asyncio.Task[None]) -> None:
    """What Ctrl-C does."""
    stay.cancel()
    await asyncio.gather(stay, return_exceptions=True)
    assert stay.cancelled()


@asynccontextmanager
async def playing(*, readers: int = 1) -> AsyncIterator[Scene]:
    async with running_remote(readers=readers) as remote:
        yield Scene(remote)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with playing() as made:
        yield made


async def test_a_first_connection_that_fails_is_an_error(scene: Scene) -> None:
    scene.broken = LinkError("nobody there")
    with pytest.raises(LinkError, match="nobody there"):
        await scene.stay()
    assert scene.dialled == 1
    assert scene.watching.events == []


async def test_a_first_insertion_that_fails_is_an_error_and_the_connection_is_closed() -> None:
    async with playing(readers=0) as scene:
        with pytest.raises(RefusedError) as refused:
            await scene.stay()
        assert refused.value.code is RefusalCode.NO_READER
        assert scene.sessions[0]._channel.is_lost


async def test_a_broken_link_is_dialled_again_and_the_card_inserted_again_with_no_new_pin(scene: Scene) -> None:
    stay = scene.stay()
    for times in (1, 2, 3):
        await scene.until_inserted(times)
        scene.cut()
    await scene.until_inserted(4)
    assert len(scene.watching.of(LinkLost)) >= 3
    assert len(scene.pins.connecting) == 1
    assert [len(reader.present) for reader in scene.remote.readers] == [1]
    await end(stay)


async def test_the_wait_between_tries_grows_and_each_is_told(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.broken = LinkError("still broken")
    scene.cut()
    await until(lambda: len(scene.watching.of(LinkLost)) > 5)
    waits = [event.retry_in for event in scene.watching.of(LinkLost)]
    assert waits[:6] == [0.01, 0.02, 0.04, 0.08, 0.08, 0.08]
    scene.broken = None
    await scene.until_inserted(2)
    await end(stay)


async def test_who_wants_no_reconnection_gets_none(scene: Scene) -> None:
    stay = scene.stay(ConnectionSettings(WISHES.slots, reconnect=False))
    await scene.until_inserted()
    scene.cut()
    with pytest.raises(LinkError, match="the cable"):
        await stay
    assert scene.dialled == 1


async def test_a_final_goodbye_is_final(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    (serving,) = scene.remote.sessions._sessions
    await serving.replaced()
    with pytest.raises(LinkError, match="connected again"):
        await stay
    assert scene.dialled == 1


async def test_a_passing_refusal_is_waited_out_when_it_comes_back_and_another_is_not(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.broken = RefusedError(RefusalCode.BUSY, "busy")
    scene.cut()
    await until(lambda: scene.dialled > 3)
    scene.broken = RefusedError(RefusalCode.NOT_PAIRED, "not paired any more")
    with pytest.raises(RefusedError, match="not paired any more"):
        await stay


async def test_a_virtual_card_process_that_ends_gets_the_card_again_when_it_is_back(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    reader = scene.remote.readers[0]
    await reader.die()
    await until(lambda: len(scene.watching.of(Ejected)) == 1)
    await until(lambda: len(scene.watching.of(LinkLost)) > 1)
    await reader.attach(scene.remote.local_port)
    await scene.until_inserted(2)
    assert scene.dialled == 1
    await end(stay)


async def test_a_card_that_is_pulled_is_the_end_and_the_reader_is_empty(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.card.pull()
    with pytest.raises(CardRemovedError):
        await stay
    assert scene.remote.readers[0].present == []
    assert scene.dialled == 1


async def test_ctrl_c_ejects_and_closes_at_once(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    begun = time.monotonic()
    await end(stay)
    assert time.monotonic() - begun < 1
    assert scene.remote.readers[0].present == []
    await until(lambda: scene.remote.records.events[-1] == "disconnected")
    assert scene.remote.records.of("ejected")[0]["reason"] == "The admin disconnected."


async def test_ctrl_c_while_waiting_for_a_broken_link_ends_it(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.broken = LinkError("still broken")
    scene.cut()
    await until(lambda: scene.dialled > 2)
    await end(stay)


async def test_ctrl_c_during_the_insertion_leaves_an_empty_reader(scene: Scene) -> None:
    reader = scene.remote.readers[0]
    reader.may_open.clear()
    stay = scene.stay()
    await reader.opening.wait()
    ending = asyncio.create_task(end(stay))
    await asyncio.sleep(0.02)
    reader.may_open.set()
    await ending
    await until(lambda: "disconnected" in scene.remote.records.events)
    assert reader.present == []


async def test_the_pin_is_asked_once_for_all_connections(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.card.forget_pin()
    scene.cut()
    await scene.until_inserted(2)
    assert len(scene.pins.connecting) == 1
    assert len(scene.card.verifications) == 2
    await end(stay)


async def test_a_pin_that_was_changed_meanwhile_ends_it_after_one_try(scene: Scene) -> None:
    stay = scene.stay()
    await scene.until_inserted()
    scene.card.pin = b"999999"
    scene.card.forget_pin()
    scene.cut()
    with pytest.raises(PinWrongError):
        await stay
    assert scene.card.tries == 2
