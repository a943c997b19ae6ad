"""Answers on the disk, in bounded number and size, for a restart. An answer is verified again after reading."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from sra.errors import SraError
from sra.identity.crl import MAX_LIST
from sra.system import files

MAX_FILES = 1000
"""Stored answers: a list of each authority, and an OCSP answer for each recent card."""

MAX_BYTES = 256 * 1024 * 1024
"""Bytes of all answers: eight of the longest lists."""

MAX_FILE = MAX_LIST + 64 * 1024
"""Bytes of one answer and its description."""

_NAME = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger("sra.revocation")


class CachedAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer, its address, the SHA-256 of the issuer's certificate, and the time at which it came.

    ``body`` was verified when it was written, and counts for nothing until it is verified again.
    """

    address: str
    issuer: str
    fetched: datetime
    body: bytes


class Cache:
    """A folder of answers, each in a file named by its key (64 hexadecimal digits). Methods block, and never raise."""

    def __init__(self, folder: Path, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_files = max_files
        self._max_bytes = max_bytes

    def read(self, key: str) -> CachedAnswer | None:
        """The answer with this key; ``None`` if there is none that can be read."""
        path = self._folder / key
        try:
            content = files.read_trusted(path, MAX_FILE)
            return None if content is None else msgspec.msgpack.decode(content.data, type=CachedAnswer)
        except (SraError, OSError, ValueError) as error:
            log.warning("the answer in %s is not used: %s", path, error)
            self.remove(key)
            return None

    def all(self) -> Iterator[tuple[str, CachedAnswer]]:
        """Every key and answer."""
        for path in self._paths():
            kept = self.read(path.name)
            if kept is not None:
                yield path.name, kept

    def write(self, key: str, kept: CachedAnswer) -> None:
        """Store an answer, and remove the oldest ones if there is no room; a full disk is only logged."""
        data = msgspec.msgpack.encode(kept)
        try:
            self._make_folder()
            self._make_room(key, len(data))
            files.replace(self._folder / key, data, 0o600)
        except (SraError, OSError) as error:
            log.warning("an answer could not be stored: %s", error)

    def remove(self, key: str) -> None:
        """Remove this answer."""
        with contextlib.suppress(OSError):
            (self._folder / key).unlink()

    def _make_folder(self) -> None:
        """Make the folder, with the owner of its parent: made by root, it would lock the service out."""
        if not self._folder.exists():
            files.make_folder(self._folder, 0o700)
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                files.give_to_folder_owner(descriptor, self._folder.parent)
            finally:
                os.close(descriptor)

    def _make_room(self, key: str, size: int) -> None:
        """Remove the oldest answers until one more of this size fits."""
        others = {path: path.stat() for path in self._paths() if path.name != key}
        oldest_first = sorted(others, key=lambda path: others[path].st_mtime_ns)
        total = sum(status.st_size for status in others.values())
        for path in oldest_first:
            if len(others) < self._max_files and total + size <= self._max_bytes:
                break
            total -= others.pop(path).st_size
            self.remove(path.name)

    def _paths(self) -> list[Path]:
        try:
            return [path for path in sorted(self._folder.iterdir()) if _NAME.fullmatch(path.name)]
        except OSError:
            return []
