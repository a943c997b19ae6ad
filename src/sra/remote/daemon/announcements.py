"""What the remote's own programs say that they are about to ask the card for: PAM says ``sudo for alice``.

A datagram socket that only root can write to. What comes in is passed on to the admins as the remote's word; it
decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from sra.logs import clean

MAX_REMARK = 200
"""Bytes of an announcement."""

log = logging.getLogger("sra.announcements")


class Announcements:
    """Listens for announcements while it is open."""

    def __init__(self, path: Path, heard: Callable[[str], None]) -> None:
        self._path = path
        self._heard = heard
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Listen; where that can't be, nothing is announced, and everything else works."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            listening.setblocking(False)
            listening.bind(str(self._path))
            self._path.chmod(0o600)
        except OSError as error:
            log.warning("%s: %s; admins are not told what the card is asked for", self._path, error.strerror)
            listening.close()
            return
        self._socket = listening
        asyncio.get_running_loop().add_reader(listening, self._read)

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _read(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                text = clean(self._socket.recv(MAX_REMARK).decode(errors="replace"), MAX_REMARK)
                self._heard(text)
