"""The remote's screen beside the card: shown while a connection is kept, or the reason to keep it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from sra.admin.events import Refused, Watcher
from sra.admin.screen.sharing import ScreenSharing
from sra.admin.session import AdminSession
from sra.errors import LinkError, SraError


class ConnectionKeeper(Protocol):
    """Whoever keeps the connection."""

    async def run(self) -> None:
        """Stay until it is over."""


class ShownScreen:
    """Has the screen of each new session shown. ``is_all``: once the viewer is closed there is nothing left to do."""

    def __init__(self, sharing: ScreenSharing, watcher: Watcher, *, is_all: bool) -> None:
        self._sharing = sharing
        self._watcher = watcher
        self._is_all = is_all
        self._showing: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_closed = False

    def begin(self, session: AdminSession) -> None:
        """Show the screen of this session from now on, unless the person has closed the viewer before."""
        if not self._is_closed:
            self._showing = asyncio.create_task(self._show(session))

    async def _show(self, session: AdminSession) -> None:
        try:
            await self._sharing.show(session)
        except LinkError:
            return  # whoever keeps the connection says so, and comes back with another
        except SraError as error:
            self._fail(error)
        self._is_closed = True
        if self._is_all and not self._over.done():
            self._over.set_result(None)

    def _fail(self, error: SraError) -> None:
        if self._is_all and not self._over.done():
            self._over.set_exception(error)
        else:
            self._watcher.notice(Refused("the remote's screen", str(error)))

    async def beside(self, staying: ConnectionKeeper) -> None:
        """Stay connected until that is over, or the viewer is closed and was all; then the viewer ends too."""
        running = asyncio.ensure_future(staying.run())
        try:
            await asyncio.wait([running, self._over], return_when=asyncio.FIRST_COMPLETED)
            await (self._over if self._over.done() else running)
        finally:
            if self._showing is not None:
                self._showing.cancel()
                await asyncio.gather(self._showing, return_exceptions=True)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
