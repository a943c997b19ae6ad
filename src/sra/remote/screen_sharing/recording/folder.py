"""The recordings of the screen, in a folder of root's alone.

A recording whose hash is in the audit trail has it in a file beside it too (``NAME.sha256``, as sha256sum(1) reads it).
So a recording without one that is not being made is yet to be told of, whichever program was killed in between.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sra.errors import ProtocolError
from sra.system import files

ENDING = ".mkv"
MAX_BY = 60
"""Characters of a file's name that say with whom the screen was shared."""
BLOCK = 1024 * 1024
"""Bytes that are hashed at a time."""
_NAME = re.compile(r"\d{8}T\d{6}Z_[A-Za-z0-9._-]+" + re.escape(ENDING))


@dataclass(frozen=True)
class FinishedRecording:
    """A recording that is no longer written to: its size in bytes, and SHA-256 (hexadecimal)."""

    name: str
    size: int
    sha256: str


def new_name(by: str) -> str:
    """The beginning of a name that no other recording has: when (UTC), with whom, and a random number."""
    safe = re.sub(r"[^A-Za-z0-9]+", "-", by)[:MAX_BY].strip("-")
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{safe}_{secrets.token_hex(4)}"


class RecordingFolder:
    """The folder, and which of its recordings are being made just now."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._being_made: set[str] = set()
        self._hashes: dict[str, str] = {}
        self._change = asyncio.Event()

    def begin(self, name: str) -> int:
        """A new file, for writing, which is the caller's to close; raise ``OSError`` if it can't be."""
        files.make_folder(self.path, 0o700)
        self.path.chmod(0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path / name, flags, 0o600)
        self._being_made.add(name)
        return descriptor

    def end(self, name: str) -> None:
        """Note that it is no longer written to; one in which nothing was written is removed."""
        path = self.path / name
        if self.size(name) == 0:
            path.unlink(missing_ok=True)
        self._being_made.discard(name)
        self._change.set()

    def size(self, name: str) -> int:
        """Its size until now, in bytes."""
        path = self.path / name
        return path.stat().st_size if path.exists() else 0

    def used(self) -> int:
        """Bytes of everything in the folder."""
        return sum(path.lstat().st_size for path in self.path.iterdir()) if self.path.exists() else 0

    def free(self) -> int:
        """Bytes of the disk that are left."""
        there = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        return os.statvfs(there).f_bavail * os.statvfs(there).f_frsize

    async def next_whole(self) -> FinishedRecording:
        """The oldest that has not been told of; waits until there is one."""
        while True:
            self._change.clear()
            name = self._oldest_untold()
            if name is None:
                await self._change.wait()
                continue
            whole = await asyncio.to_thread(_read, self.path / name)
            if whole is not None:
                self._hashes[name] = whole.sha256
                return whole

    def told(self, name: str) -> None:
        """Note that it is in the audit trail; ``ProtocolError`` if that can't be, since its hash was never told."""
        if name not in self._hashes:
            raise ProtocolError("a recording whose hash was never told")
        files.replace(_beside(self.path / name), f"{self._hashes.pop(name)}  {name}\n".encode(), 0o600)

    def _oldest_untold(self) -> str | None:
        if not self.path.exists():
            return None
        names = sorted(path.name for path in self.path.iterdir() if _NAME.fullmatch(path.name))
        whole = (name for name in names if name not in self._being_made)
        return next((name for name in whole if not _beside(self.path / name).exists()), None)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _read(path: Path) -> FinishedRecording | None:
    """What the file holds, safe on the disk; ``None`` if it has been removed. It may take seconds."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "rb") as file:
        os.fsync(descriptor)
        size = 0
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return FinishedRecording(path.name, size, digest.hexdigest())
