"""Log lines: one line each, on stderr, with the journal's priority where the journal reads them.

``TRAFFIC`` is a level of its own below debug, so that a debug log never holds what the machines say to each other. A
PIN, a password or a key block is in no log at any level.

Lines that repeat are counted (``RepetitionFilter``): most of them are about strangers, who could fill the journal with
them.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from sra.repetitions import Quota, RepetitionKind, Repetitions

TRAFFIC = 5
"""Every frame and APDU header; the levels of ``logging`` begin at 10 (debug)."""

MAX_PEER_TEXT = 200
"""Characters of a peer's text that are shown: two lines of a terminal, enough for a subject or a reason."""

FILE_VARIABLE = "SRA_LOG_FD"
"""Where a process that is started by hand finds the descriptor of the log file that it shares with others."""

MAX_FILE = 64 * 1024 * 1024
"""Bytes after which nothing more is written to the file: some weeks of an ordinary day's work."""

LINES = Quota(100, 20)
"""Lines of one kind: a hundred at once, then three a minute, and a line that says how many there were."""

LEVELS = {
    "traffic": TRAFFIC,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_PRIORITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
    TRAFFIC: 7,
}
"""Level -> priority in the journal (sd-daemon(3))."""


_INVISIBLE = frozenset(
    {*map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0))}
    | {chr(number) for block in ((0x180B, 0x1810), (0xFE00, 0xFE10), (0xE0100, 0xE01F0)) for number in range(*block)}
)
"""Signs that Unicode counts as printable and that show nothing (Default_Ignorable_Code_Point, and Braille's blank)."""


def clean(text: str, limit: int = MAX_PEER_TEXT) -> str:
    """Text from outside, safe on a terminal and in a log; at most ``limit`` characters.

    What could move a cursor, start a line, hide text or turn its direction round becomes “?”.
    """
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join("?" if character in _INVISIBLE or not character.isprintable() else character for character in shown)


def of_session(session: str) -> dict[str, str]:
    """The ``extra`` of a record that is about the session with this identifier; nothing if it is empty."""
    return {"session": session}


class LineFormatter(logging.Formatter):
    """A record as one line; a traceback's lines are joined by `` | ``.

    The message begins with ``session=ID`` if it is about one, where no text from outside can stand.
    """

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._journal = journal

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """The line without a traceback."""
        if session := getattr(record, "session", ""):
            record.message = f"session={session} {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """The line, with ``<N>`` before it for the journal."""
        line = " | ".join(super().format(record).splitlines())
        line = clean(line, len(line))
        return f"<{_priority(record.levelno)}>{line}" if self._journal else line


class RepetitionFilter(logging.Filter):
    """Lets a handler have the lines of each kind up to a quota, and a line with their number for those beyond it.

    A kind is a logger, a level and a message without its arguments: what the source says, never what a peer says, so
    there are as many kinds as places in the source. Levels below info are not counted: they are asked for.
    """

    def __init__(self, handler: logging.Handler, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._handler = handler
        self._now = now
        self._repetitions: Repetitions[logging.LogRecord] = Repetitions()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.levelno < logging.INFO:
            return True
        kind = RepetitionKind((record.name, record.levelname, str(record.msg)))
        with self._locked():
            passes = self._repetitions.passes(kind, LINES, record, self._now())
        self.tell()
        return passes

    def tell(self, *, at_once: bool = False) -> None:
        """Write the numbers that are due."""
        with self._locked():
            for repeated in self._repetitions.due(self._now(), at_once=at_once):
                self._repetitions.told(repeated)
                latest = repeated.latest
                text = f"{repeated.count} lines like this, the latest: {latest.getMessage()}"
                self._handler.emit(logging.LogRecord(latest.name, latest.levelno, latest.pathname, 0, text, (), None))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The handler's own lock, which its lines are written under."""
        self._handler.acquire()
        try:
            yield
        finally:
            self._handler.release()


def _counted(handler: logging.Handler) -> logging.Handler:
    handler.addFilter(RepetitionFilter(handler))
    return handler


def tell_counts(*, at_once: bool = False) -> None:
    """Have the numbers written that are due, where no other line comes; the programs call it now and then."""
    for handler in logging.getLogger("sra").handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream.closed:
            continue
        for counting in handler.filters:
            if isinstance(counting, RepetitionFilter):
                counting.tell(at_once=at_once)


def set_up(level: str, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
    """Send the product's log lines of this level (a key of ``LEVELS``) and above to ``stream``."""
    logging.addLevelName(TRAFFIC, "TRAFFIC")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(journal=is_journal(stream, environment)))
    logger = logging.getLogger("sra")
    logger.handlers = [_counted(each) for each in (handler, *_file_handlers(environment))]
    logger.propagate = False
    logger.setLevel(LEVELS[level])
    atexit.register(tell_counts, at_once=True)


def begin_file(path: Path) -> int:
    """Begin a new log file, and keep the last one as ``.old``; its descriptor, for this process's children too.

    A process that finds the descriptor's number in ``FILE_VARIABLE`` writes to it as well: no rights are needed there.
    """
    if os.path.lexists(path):
        path.rename(path.with_suffix(".old"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o640)
    os.set_inheritable(descriptor, True)
    return descriptor


class _SharedFile(logging.Handler):
    """Writes each line in one piece, after those of other processes."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.setFormatter(LineFormatter(journal=False))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; a full disk, or a file that is long enough, takes nothing more."""
        line = f"{self.format(record)}\n".encode(errors="replace")
        try:
            if os.fstat(self._descriptor).st_size < MAX_FILE:
                os.write(self._descriptor, line)
        except OSError:
            self.handleError(record)


def _file_handlers(environment: Mapping[str, str]) -> list[logging.Handler]:
    """What writes to the shared file, if there is one."""
    text = environment.get(FILE_VARIABLE, "")
    try:
        os.fstat(int(text))
    except (OSError, ValueError):
        return []
    return [_SharedFile(int(text))]


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether ``stream`` is the one that systemd connected to the journal (systemd.exec(5), ``$JOURNAL_STREAM``)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _priority(level: int) -> int:
    """The journal's priority of a level, or of the next one below it."""
    return next((priority for floor, priority in _PRIORITIES.items() if level >= floor), 7)
