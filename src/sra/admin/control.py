"""How a running connection is told to eject, pause and go on: a socket that only its own user can reach.

One JSON line asks, one answers. The user is checked by the socket's folder, its mode, and the peer's credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from sra.errors import LinkError, SraError
from sra.system.peer import is_ours
from sra.wire.rates import Bucket, Rate

MAX_LINE = 4096
"""Bytes of a question or an answer."""
DEADLINE = 15.0
"""Seconds for an answer: an ejection waits for the remote."""
STATUS_DEADLINE = 3.0
"""Seconds to tell how a connection stands: who doesn't is stopped, and the others are not to wait for it."""
RATE = Rate(100, 20)
"""Orders: a person's programs give none of them faster for long."""
_BROKEN = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class ControlRequest(StrEnum):
    """What a running connection can be told."""

    STATUS = "status"
    EJECT = "eject"
    INSERT = "insert"
    PAUSE = "pause"
    RESUME = "resume"
    REOPEN = "reopen"


class ControlStatus(msgspec.Struct, frozen=True):
    """How a connection stands; ``code`` is the session code where the order was to open it again."""

    remote: str
    account: str
    card: str
    connected: bool
    inserted: bool
    paused: bool
    uses: int
    code: str = ""
    process: int = 0


class Control:
    """Listens for orders while a connection runs."""

    def __init__(self, folder: Path, orders: Mapping[ControlRequest, Callable[[], Awaitable[ControlStatus]]]) -> None:
        self._path = folder / f"{os.getpid()}.socket"
        self._orders = orders
        self._server: asyncio.Server | None = None
        self._bucket = Bucket(RATE)

    async def open(self) -> None:
        """Listen; raise ``LinkError`` where that can't be."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.parent.chmod(0o700)
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_LINE)
            self._path.chmod(0o600)
        except OSError as error:
            raise LinkError(f"{self._path}: {error.strerror or error}.") from error

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if is_ours(writer.get_extra_info("socket")) and self._bucket.take(asyncio.get_running_loop().time()):
                async with asyncio.timeout(DEADLINE):
                    order = msgspec.json.decode(await reader.readuntil(b"\n"), type=ControlRequest)
                    writer.write(msgspec.json.encode(await self._orders[order]()) + b"\n")
                    await writer.drain()
        except (*_BROKEN, ValueError, SraError):  # msgspec raises UnicodeDecodeError too
            pass  # whoever asked gets no answer, which says enough
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def tell(path: Path, order: ControlRequest) -> ControlStatus:
    """What the connection that listens there answers to the order; raise ``LinkError`` if there is none."""
    try:
        async with asyncio.timeout(STATUS_DEADLINE if order is ControlRequest.STATUS else DEADLINE):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
            try:
                if not is_ours(writer.get_extra_info("socket")):
                    raise LinkError(f"{path} is listened at by another user, so it is told nothing.")
                writer.write(msgspec.json.encode(order) + b"\n")
                return msgspec.json.decode(await reader.readuntil(b"\n"), type=ControlStatus)
            finally:
                writer.close()
    except (
        OSError,
        TimeoutError,
        asyncio.IncompleteReadError,
        asyncio.LimitOverrunError,
        ValueError,
    ) as error:
        raise LinkError("The connection did not answer; it may have ended just now.") from error


def running(folder: Path) -> list[Path]:
    """The sockets of connections that run; what a killed one has left is removed."""
    found = []
    for path in sorted(folder.glob("*.socket")):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as trial:
            try:
                trial.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            else:
                found.append(path)
    return found
