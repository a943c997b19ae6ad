"""The latest time that this machine's clock has shown, so that setting it back revives no expired license.

What a clock shows is carried on at most ``PACE`` times as fast as time passes: one that goes wrong for a minute costs
minutes, not years, and a machine that was off catches up. The first hour without anything to go by is not carried.

Kept in a file, written every few minutes at most; one that was changed or deleted meanwhile counts at once. If it can't
be read or written, a license that holds is not lost: whoever could break the file could as well delete it, so refusing
would only punish a full disk. It is told in the log and by ``sra doctor``; for as long as the process runs it remembers
anyway.
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
"""Seconds by which a second that passes may carry the time on: a machine that runs an hour a day keeps up."""
SETTLING = 60 * 60.0
"""Seconds for which a clock has to go before it counts, where no time was kept."""
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
        """The latest time that counts: ``now``, or a later one that was carried on."""
        self._take_up()
        running = self._running()
        passed, self._at = running - self._at, running
        if self._carried:
            self._carried = max(self._carried, min(now, self._carried + passed * PACE))
        elif running - self._begun >= SETTLING:
            self._carried = now
        return max(now, self._carried or 0.0)

    def is_due(self, ends: float) -> bool:
        """Whether what was seen has to be written now; ``ends`` is when the license expires, which is never missed."""
        carried = self._carried or 0.0
        return carried - self._written >= INTERVAL or self._written < ends <= carried

    def keep(self) -> None:
        """Write it, unless the file was changed meanwhile."""
        self._take_up()
        if self._carried:
            self._written = self._carried
            try:
                self.accept(self._carried)
            except files.FileError as error:
                log.error("the latest time can't be kept, so a clock set back goes unnoticed: %s", error)  # noqa: TRY400

    def accept(self, now: float) -> None:
        """Have this time count from now on, an earlier one too; ``FileError`` if it can't be written.

        Another process that has the file in use takes it up by itself.
        """
        files.make_folder(self._path.parent, 0o755)
        files.replace(self._path, datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").encode(), 0o644)
        self._stamp = files.stamp(self._path)

    def read(self) -> float:
        """What the file says, 0 if there is none; raise ``FileError`` or ``UsageError`` if it can't be read."""
        content = files.read_trusted(self._path, MAX_FILE)
        if content is None:
            return 0.0
        try:
            return datetime.fromisoformat(content.data.decode("ascii")).astimezone(UTC).timestamp()
        except (ValueError, OverflowError) as error:
            raise files.FileError(self._path, "this is not a time.", f"rm {self._path}") from error

    def stored(self) -> float | None:
        """As ``read``, but ``None`` where there is no time that can be read."""
        try:
            return self.read() or None
        except UsageError:
            return None

    def _take_up(self) -> None:
        """Take what the file says, if that is not what was read or written last. Without it, everything begins anew."""
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
    """A time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
