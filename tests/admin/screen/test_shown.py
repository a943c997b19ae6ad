"""The screen beside a connection: what ends what."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from sra.admin.events import Refused
from sra.admin.screen.sharing import ScreenSharing
from sra.admin.screen.shown import ShownScreen
from sra.admin.session import AdminSession
from sra.errors import CardRemovedError, LinkError, RefusalCode, RefusedError, SraError
from tests.admin.watching import Watching

SESSION = cast("AdminSession", object())
NO = RefusedError(RefusalCode.NO_SCREEN, "There is no screen.")


class Sharing:
    """A viewer that is open until it is closed, or fails."""

    def __init__(self) -> None:
        self.shown = 0
        self.open = 0
        self.closing = asyncio.Event()
        self.failing: SraError | None = None

    async def show(self, session: AdminSession) -> None:
        self.shown += 1
        self.open += 1
        try:
            if self.failing is not None:
                raise self.failing
            await self.closing.wait()
        finally:
            self.open -= 1


class Staying:
    """A connection that stays until it fails."""

    def __init__(self) -> None:
        self.failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_over = False

    async def run(self) -> None:
        try:
            await self.failing
        finally:
            self.is_over = True


class Scene:
    def __init__(self, *, is_all: bool) -> None:
        self.sharing = Sharing()
        self.staying = Staying()
        self.watching = Watching()
        self.screen = ShownScreen(cast("ScreenSharing", self.sharing), self.watching, is_all=is_all)

    async def until_shown(self) -> asyncio.Task[None]:
        beside = asyncio.create_task(self.screen.beside(self.staying))
        self.screen.begin(SESSION)
        await asyncio.sleep(0.01)
        return beside


async def test_the_viewer_is_all_and_its_end_ends_the_connection() -> None:
    there = Scene(is_all=True)
    beside = await there.until_shown()
    there.sharing.closing.set()
    await beside
    assert there.staying.is_over


async def test_beside_a_connection_it_may_be_closed_and_does_not_come_back() -> None:
    there = Scene(is_all=False)
    beside = await there.until_shown()
    there.sharing.closing.set()
    await asyncio.sleep(0.01)
    there.screen.begin(SESSION)
    await asyncio.sleep(0.01)
    assert (there.sharing.shown, there.staying.is_over, beside.done()) == (1, False, False)
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    assert there.staying.is_over


@pytest.mark.parametrize("is_all", [True, False])
async def test_the_end_of_the_connection_ends_the_viewer(is_all: bool) -> None:
    there = Scene(is_all=is_all)
    beside = await there.until_shown()
    there.staying.failing.set_exception(CardRemovedError("gone"))
    with pytest.raises(CardRemovedError):
        await beside
    assert there.sharing.open == 0


async def test_a_screen_that_is_refused_is_an_error_where_it_is_all() -> None:
    there = Scene(is_all=True)
    there.sharing.failing = NO
    beside = await there.until_shown()
    with pytest.raises(RefusedError, match="no screen"):
        await beside
    assert there.staying.is_over


async def test_a_screen_that_is_refused_beside_a_connection_is_told() -> None:
    there = Scene(is_all=False)
    there.sharing.failing = NO
    beside = await there.until_shown()
    assert there.watching.events == [Refused("the remote's screen", "There is no screen.")]
    assert not beside.done()
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)


async def test_after_a_broken_link_it_is_shown_again() -> None:
    there = Scene(is_all=True)
    there.sharing.failing = LinkError("broke")
    beside = await there.until_shown()
    there.sharing.failing = None
    there.screen.begin(SESSION)
    await asyncio.sleep(0.01)
    assert (there.sharing.shown, there.sharing.open, beside.done()) == (2, 1, False)
    there.sharing.closing.set()
    await beside
