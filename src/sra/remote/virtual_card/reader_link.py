"""The virtual card's side of the reader's socket (docs/reader-socket.md): to open it is to insert the card.

The socket appears under its name when it can already be connected to, and closing unlinks it first, so that the driver
never sees a card that isn't there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import stat
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from sra.piv.objects import ATR
from sra.remote.virtual_card import reader_frames
from sra.remote.virtual_card.driver_connection import DriverConnection, VirtualCard

_log = logging.getLogger("sra.card")

ROOT = 0
_BACKLOG = 4
"""There is one driver; more than a few waiting connections are not the driver's."""

_ROOT_ONLY = 0o600
_ALL_USERS = 0o666
"""Where pcscd isn't root it has to be let in, and the check of the peer's user keeps the others out."""


class ReaderLink:
    """A reader that holds ``card`` while it is open.

    ``path`` is the reader's socket; its folder exists. ``users`` are the user IDs that may be a driver, besides root.
    """

    def __init__(
        self,
        path: Path,
        card: VirtualCard,
        *,
        pin_pad: bool,
        users: Collection[int] = (),
        wait_interval: float = 1.0,
    ) -> None:
        self._path = path
        self._card = card
        self._greeting = reader_frames.greeting(ATR, pin_pad=pin_pad)
        self._users = frozenset(users) | {ROOT}
        self._wait_interval = wait_interval
        self._server: asyncio.Server | None = None
        self._identity: tuple[int, int] | None = None
        self._driver: DriverConnection | None = None

    async def open(self) -> None:
        """Insert the card; raise ``OSError`` if the socket can't be made, or something else is in its place."""
        listening = self._listen()
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: DriverConnection(self._card, self._greeting, self._users, self._wait_interval, self._take_over),
            sock=listening,
        )
        _log.info("the card is in reader %s", self._path.name)

    async def close(self) -> None:
        """Eject the card: unlink the socket, close the connection, cancel the key use that is under way."""
        self._unlink()
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if self._driver is not None:
            await self._driver.end()
        _log.info("the card is out of reader %s", self._path.name)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _listen(self) -> socket.socket:
        """A listening socket under its name; what a killed process has left is removed."""
        temporary = self._path.with_name(f".{self._path.name}.new")
        for path in (self._path, temporary):
            _remove_stale(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.bind(str(temporary))
            temporary.chmod(_ROOT_ONLY if self._users == {ROOT} else _ALL_USERS)
            listening.listen(_BACKLOG)
            self._identity = _identity_of(temporary)
        except OSError:
            listening.close()
            raise
        temporary.rename(self._path)
        return listening

    def _unlink(self) -> None:
        """Remove our socket, but not one by which another process has replaced it."""
        identity, self._identity = self._identity, None
        with contextlib.suppress(FileNotFoundError):
            if _identity_of(self._path) == identity:
                self._path.unlink()

    def _take_over(self, driver: DriverConnection) -> None:
        """The newest driver has the card: after a restart of pcscd the old connection may still look alive."""
        previous, self._driver = self._driver, driver
        if previous is not None:
            _log.info("another connection to the driver replaces the one before")
            previous.abort()
        if self._server is None:  # accepted in the moment of the ejection
            driver.abort()


def _identity_of(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _remove_stale(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "something that is not a socket is in the way", str(path))
        path.unlink()
