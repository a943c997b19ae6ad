"""A small trusted file that is decoded again only when it has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from sra.errors import UsageError
from sra.system import files

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """The file at ``path``, at most ``limit`` bytes; ``decode`` gets its content, or ``None`` if there is no file."""

    def __init__(self, path: Path, limit: int, decode: Callable[[bytes | None], T]) -> None:
        self.path = path
        self._limit = limit
        self._decode = decode
        self._known: tuple[tuple[int, ...] | None, T] | None = None

    def current(self) -> T:
        """The decoded content; one system call when nothing has changed. Raises ``FileError`` if it is damaged."""
        if self._known is None or files.stamp(self.path) != self._known[0]:
            return self.read()
        return self._known[1]

    def read(self) -> T:
        """The decoded content, read again even if nothing seems to have changed; raises ``FileError``."""
        self._known = None
        content = files.read_trusted(self.path, self._limit)
        try:
            self._known = (content.stamp, self._decode(content.data)) if content else ((), self._decode(None))
        except files.FileError:
            raise
        except UsageError as error:
            raise files.FileError(self.path, str(error)) from error
        return self._known[1]
