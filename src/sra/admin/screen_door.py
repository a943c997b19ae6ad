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

from sra.transport.peer import peer_user
from sra.transport.stream import Stream

MAX_STRANGERS = 100
"""Connections of other users before the door is shut altogether: nobody knocks so often by mistake."""
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""The sockets of this network (proc(5)): addresses in hexadecimal, and the user of each."""

log = logging.getLogger("sra.screen")


class Door:
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
            if self._is_ours(connection):
                self._listening.close()
                if self.path is not None:
                    _, stream = await loop.create_unix_connection(Stream, sock=connection)
                else:
                    _, stream = await loop.create_connection(Stream, sock=connection)
                return stream
            log.warning("another user's program tried to see the remote's screen; it was cut off")
            connection.close()
        raise ConnectionAbortedError("other users keep the viewer's door busy")

    def _is_ours(self, connection: socket.socket) -> bool:
        by_path = self.path is not None
        owner = _unix_owner(connection) if by_path else tcp_owner(connection.getpeername()[1], self.port)
        return owner == os.geteuid()


@contextlib.contextmanager
def open_door(*, by_path: bool) -> Iterator[Door]:
    """A door, until it is left: a UNIX socket in a folder of our own, or a port of the loopback address."""
    folder = Path(tempfile.mkdtemp(prefix="sra-screen-", dir=os.environ.get("XDG_RUNTIME_DIR"))) if by_path else None
    listening = socket.socket(socket.AF_UNIX if by_path else socket.AF_INET, socket.SOCK_STREAM)
    path = folder / "screen" if folder is not None else None
    try:
        listening.setblocking(False)
        listening.bind(str(path) if path is not None else ("127.0.0.1", 0))
        listening.listen(4)
        yield Door(listening, path)
    finally:
        listening.close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def tcp_owner(port: int, to_port: int) -> int | None:
    """The user of the socket of 127.0.0.1 with this port that is connected to ``to_port`` there; ``None`` if unknown.

    Where there is no such table (macOS) it is taken for ours: whoever comes in still needs the screen's password.
    """
    tables = [table for table in _TABLES if table.exists()]
    if not tables:
        return os.geteuid()
    for table in tables:
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if _is_loopback(fields[1], port) and _is_loopback(fields[2], to_port):
                return int(fields[7])
    return None


def _is_loopback(entry: str, port: int) -> bool:
    address, _, number = entry.partition(":")
    return int(number, 16) == port and address in {_LOOPBACK, _MAPPED}


_LOOPBACK = "0100007F"
_MAPPED = f"0000000000000000FFFF0000{_LOOPBACK}"
"""127.0.0.1, as a little-endian machine writes it there; and the same of a socket for IPv6."""


def _unix_owner(connection: socket.socket) -> int:
    if not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()  # macOS: the folder's mode is the check
    return peer_user(connection)
