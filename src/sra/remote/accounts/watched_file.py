"""A small trusted file whose meaning is kept until it changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from sra.errors import UsageError
from sra.system import files

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """The file at ``path``, at most ``limit`` bytes; ``decode`` gets what is in it, or ``None`` if there is no file."""

    def __init__(self, path: Path, limit: int, decode: Callable[[bytes | None], T]) -> None:
        self.path = path
        self._limit = limit
        self._decode = decode
        self._known: tuple[tuple[int, ...] | None, T] | None = None

    def current(self) -> T:
        """What it means now; one system call when nothing has changed. Raises ``FileError`` if it is damaged."""
        if self._known is None or files.stamp(self.path) != self._known[0]:
            self._known = None
            self._known = self._read()
        return self._known[1]

    def _read(self) -> tuple[tuple[int, ...] | None, T]:
        content = files.read_trusted(self.path, self._limit)
        try:
            return (content.stamp, self._decode(content.data)) if content else ((), self._decode(None))
        except files.FileError:
            raise
        except UsageError as error:
            raise files.FileError(self.path, str(error)) from error
