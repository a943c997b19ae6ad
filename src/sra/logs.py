"""Log lines: one line each, on stderr, with the journal's priority where the journal reads them.

``TRAFFIC`` is a level of its own below debug, so that a debug log never holds what the machines say to each other. A
PIN, a password or a key block is in no log at any level.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TextIO

TRAFFIC = 5
"""Every frame and APDU header; the levels of ``logging`` begin at 10 (debug)."""

MAX_PEER_TEXT = 200
"""Characters of a peer's text that are shown: two lines of a terminal, enough for a subject or a reason."""

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


def clean(text: str, limit: int = MAX_PEER_TEXT) -> str:
    """Text from somebody else, safe on a terminal and in a log; at most ``limit`` characters.

    What could move a cursor, start a line, hide text or turn its direction round becomes “?”.
    """
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(character if character.isprintable() else "?" for character in shown)


class LineFormatter(logging.Formatter):
    """A record as one line; a traceback's lines are joined by `` | ``."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The line, with ``<N>`` before it for the journal."""
        line = " | ".join(super().format(record).splitlines())
        line = clean(line, len(line))
        return f"<{_priority(record.levelno)}>{line}" if self._journal else line


def set_up(level: str, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
    """Send the product's log lines of this level (a key of ``LEVELS``) and above to ``stream``."""
    logging.addLevelName(TRAFFIC, "TRAFFIC")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(journal=is_journal(stream, environment)))
    logger = logging.getLogger("sra")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(LEVELS[level])


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
