"""What a running connection does when it is told to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sra.admin.control import ControlRequest, ControlStatus, tell
from sra.admin.guard.lending import LentCard
from sra.admin.kept_connection import ConnectionSettings, KeptConnection
from sra.admin.session import AdminSession
from sra.admin.session_control import SessionControl
from sra.piv.keys import Slot
from sra.programs.run import print_error
from tests.admin.connecting import Pins, connect
from tests.admin.watching import Watching, lender
from tests.loopback import until
from tests.memory_card import MemoryCard
from tests.memory_remote import MemoryRemote, running_remote


class Scene:
    """An admin who stays connected and can be told what to do."""

    def __init__(self, remote: MemoryRemote, folder: Path) -> None:
        self.remote = remote
        self.folder = folder
        self.card = MemoryCard()
        self.pins = Pins()
        self.watching = Watching()
        self.lender: LentCard = lender(self.card, watching=self.watching)
        self.staying = KeptConnection(self.dial, ConnectionSettings(frozenset({Slot.AUTHENTICATION})), self.watching)
        remote.accounts.pair(self.card, "ann")

    async def dial(self, away: float) -> AdminSession:
        del away
        return await connect(self.remote.port, self.card, pins=self.pins, watching=self.watching)

    @property
    def is_present(self) -> bool:
        return bool(self.remote.readers[0].present)

    async def order(self, order: ControlRequest) -> ControlStatus:
        return await tell(self.folder / f"{os.getpid()}.socket", order)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with running_remote() as remote:
        made = Scene(remote, tmp_path)
        stay = asyncio.create_task(made.staying.run())
        await until(lambda: made.is_present)
        async with SessionControl(tmp_path, made.staying, made.lender, "desk", print_error):
            yield made
        stay.cancel()
        await asyncio.gather(stay, return_exceptions=True)


async def test_it_tells_how_it_stands(scene: Scene) -> None:
    assert await scene.order(ControlRequest.STATUS) == ControlStatus(
        "desk", "ann", "memory:ann", connected=True, inserted=True, paused=False, uses=0, process=os.getpid()
    )


async def test_when_eject_is_answered_the_card_is_out(scene: Scene) -> None:
    standing = await scene.order(ControlRequest.EJECT)
    assert (standing.connected, standing.inserted, scene.is_present) == (True, False, False)
    await scene.order(ControlRequest.INSERT)
    await until(lambda: scene.is_present)


async def test_a_pause_is_one_until_it_is_resumed(scene: Scene) -> None:
    assert (await scene.order(ControlRequest.PAUSE)).paused
    assert scene.lender.switch.paused
    assert (await scene.order(ControlRequest.STATUS)).paused
    assert not (await scene.order(ControlRequest.RESUME)).paused


async def test_reopening_gives_a_new_code_that_no_other_order_tells(scene: Scene) -> None:
    before = scene.lender.code.shown
    standing = await scene.order(ControlRequest.REOPEN)
    assert standing.code == scene.lender.code.shown != before
    assert [(await scene.order(order)).code for order in ControlRequest if order is not ControlRequest.REOPEN] == [
        ""
    ] * 5


async def test_where_nothing_can_listen_the_connection_runs_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sessions").write_text("in the way")
    watching = Watching()
    staying = KeptConnection(None, ConnectionSettings(()), watching)  # type: ignore[arg-type]
    async with SessionControl(tmp_path / "sessions", staying, lender(MemoryCard()), "desk", print_error):
        pass
    assert "sra session can't reach this connection" in capsys.readouterr().err
