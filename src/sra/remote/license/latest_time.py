"""The latest time that this machine's clock has shown, so that setting it back revives no expired license.

The latest time advances at most ``PACE`` times as fast as time passes: a clock that is wrong for a minute costs
minutes, not years, and a machine that was off catches up. Without a stored time, the first hour does not count.

The time is stored in a file, written every few minutes at most; a changed or deleted file counts immediately. If the
file can't be read or written, a valid license stays valid: an attacker who can damage the file can also delete it, so a
refusal would only punish a full disk. The log and ``sra doctor`` report it, and a running process remembers the time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sra.errors import UsageError
from sra.system import files

INTERVAL = 300.0
"""Seconds between two writes."""
PACE = 24.0
"""Seconds by which the time may advance in a second: a machine that runs one hour a day keeps up."""
SETTLING = 60 * 60.0
"""Seconds for which a clock has to run before it counts, if no time was stored."""
MAX_FILE = 64
"""Bytes: one time takes 26."""

log = logging.getLogger("sra.license")


class LatestTime:
    """The file with the latest time, in seconds since 1970. ``running`` counts seconds, whatever the clock does."""

    def __init__(self, path: Path, running: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._running = running
        self._carried: float | None = None
        self._at = self._begun = running()
        self._written = 0.0
        self._stamp: tuple[int, ...] | None = None

    def seen(self, now: float) -> float:
        """The latest time: ``now``, or a later one that was remembered."""
        self._reload()
        running = self._running()
        passed, self._at = running - self._at, running
        if self._carried:
            self._carried = max(self._carried, min(now, self._carried + passed * PACE))
        elif running - self._begun >= SETTLING:
            self._carried = now
        return max(now, self._carried or 0.0)

    def is_due(self, ends: float) -> bool:
        """Whether the time has to be written now; ``ends``: when the license expires, which is always written."""
        carried = self._carried or 0.0
        return carried - self._written >= INTERVAL or self._written < ends <= carried

    def keep(self) -> None:
        """Write the time, unless the file was changed in the meantime."""
        self._reload()
        if self._carried:
            self._written = self._carried
            try:
                self.accept(self._carried)
            except files.FileError as error:
                log.error("the latest time can't be kept, so a clock set back goes unnoticed: %s", error)  # noqa: TRY400

    def accept(self, now: float) -> None:
        """Set the latest time, even to an earlier one; raise ``FileError`` if it can't be written.

        Other processes that use the file notice the change.
        """
        files.make_folder(self._path.parent, 0o755)
        files.replace(self._path, datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").encode(), 0o644)
        self._stamp = files.stamp(self._path)

    def read(self) -> float:
        """The stored time, 0 if there is none; raise ``FileError`` or ``UsageError`` if it can't be read."""
        content = files.read_trusted(self._path, MAX_FILE)
        if content is None:
            return 0.0
        try:
            return datetime.fromisoformat(content.data.decode("ascii")).astimezone(UTC).timestamp()
        except (ValueError, OverflowError) as error:
            raise files.FileError(self._path, "this is not a time.", f"rm {self._path}") from error

    def stored(self) -> float | None:
        """As ``read``, but ``None`` if there is no time that can be read."""
        try:
            return self.read() or None
        except UsageError:
            return None

    def _reload(self) -> None:
        """Read the file if it has changed; if it is missing, begin again without a time."""
        try:
            stamp = files.stamp(self._path)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._carried = self._written = self.read()
            self._at = self._begun = self._running()
        except UsageError as error:
            log.error("a clock that was set back goes unnoticed: %s", error)  # noqa: TRY400


def moment(seconds: float) -> str:
    """A time, in words for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
