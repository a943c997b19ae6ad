"""The latest time that this machine's clock has shown, so that setting it back revives no expired license.

Kept in a file, written every few minutes at most. If that can't be read or written, a license that holds is not lost:
whoever could break the file could as well delete it, so refusing would only punish a full disk. It is told in the log
and by ``sra doctor``; for as long as the process runs it remembers anyway.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from sra import files
from sra.errors import UsageError

INTERVAL = 300.0
"""Seconds between two writes."""
MAX_FILE = 64
"""Bytes: one time takes 26."""

log = logging.getLogger("sra.license")


class LatestTime:
    """The file with the latest time; all times are seconds since 1970."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: float | None = None
        self._tried = 0.0

    def seen(self, now: float) -> float:
        """The latest time ever seen, ``now`` included."""
        if self._seen is None:
            self._seen = self._tried = self._read_or_tell()
        self._seen = max(self._seen, now)
        return self._seen

    def is_due(self, ends: float) -> bool:
        """Whether what was seen has to be written now; ``ends`` is when the license expires, which is never missed."""
        seen = self._seen or 0.0
        return seen - self._tried >= INTERVAL or self._tried < ends <= seen

    def keep(self) -> None:
        """Write it."""
        seen = self._tried = self._seen or 0.0
        try:
            files.make_folder(self._path.parent, 0o755)
            files.replace(self._path, datetime.fromtimestamp(seen, UTC).isoformat(timespec="seconds").encode(), 0o644)
        except files.FileError as error:
            log.error("the latest time can't be kept, so a clock set back goes unnoticed: %s", error)  # noqa: TRY400

    def read(self) -> float:
        """What the file says, 0 if there is none; raise ``FileError`` or ``UsageError`` if it can't be read."""
        content = files.read_trusted(self._path, MAX_FILE)
        if content is None:
            return 0.0
        try:
            return datetime.fromisoformat(content.data.decode("ascii")).astimezone(UTC).timestamp()
        except (ValueError, OverflowError) as error:
            raise files.FileError(self._path, "this is not a time.", f"rm {self._path}") from error

    def _read_or_tell(self) -> float:
        try:
            return self.read()
        except UsageError as error:
            log.error("a clock that was set back goes unnoticed: %s", error)  # noqa: TRY400
            return 0.0
