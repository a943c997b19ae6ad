"""Where the viewer comes in, on this machine: one connection of this very user, and then the door is shut."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sra.system.peer import is_ours, is_ours_by_tcp
from sra.transport.stream import Stream

MAX_STRANGERS = 100
"""Connections of other users before the door is shut altogether: nobody knocks so often by mistake."""

log = logging.getLogger("sra.screen")


class ViewerSocket:
    """A socket that listens for the viewer: ``path``, or ``port`` of 127.0.0.1 for viewers that take no path."""

    def __init__(self, listening: socket.socket, path: Path | None) -> None:
        self._listening = listening
        self.path = path
        self.port = 0 if path is not None else int(listening.getsockname()[1])

    async def accept(self) -> Stream:
        """The viewer's connection; those of other users are cut off."""
        loop = asyncio.get_running_loop()
        for _ in range(MAX_STRANGERS):
            connection, _ = await loop.sock_accept(self._listening)
            if await self._is_ours(connection):
                self._listening.close()
                if self.path is not None:
                    _, stream = await loop.create_unix_connection(Stream, sock=connection)
                else:
                    _, stream = await loop.create_connection(Stream, sock=connection)
                return stream
            log.warning("another user's program tried to see the remote's screen; it was cut off")
            connection.close()
        raise ConnectionAbortedError("other users keep the viewer's door busy")

    async def _is_ours(self, connection: socket.socket) -> bool:
        """Whether this user connected; where no system call says so, another program has to, which takes time."""
        return await asyncio.to_thread(is_ours if self.path is not None else is_ours_by_tcp, connection)


@contextlib.contextmanager
def open_door(*, by_path: bool) -> Iterator[ViewerSocket]:
    """A door, until it is left: a UNIX socket in a folder of our own, or a port of the loopback address."""
    folder = Path(tempfile.mkdtemp(prefix="sra-screen-", dir=os.environ.get("XDG_RUNTIME_DIR"))) if by_path else None
    listening = socket.socket(socket.AF_UNIX if by_path else socket.AF_INET, socket.SOCK_STREAM)
    path = folder / "screen" if folder is not None else None
    try:
        listening.setblocking(False)
        listening.bind(str(path) if path is not None else ("127.0.0.1", 0))
        listening.listen(4)
        yield ViewerSocket(listening, path)
    finally:
        listening.close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
