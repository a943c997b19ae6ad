"""This remote's audit trail, and what it keeps of each event.

Who can cause an event decides where it stands, and how often (``sra.ledger``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

from sra import logs
from sra.audit import Fact
from sra.errors import SraError
from sra.ledger import BY_KEYS, BY_PEOPLE, ONCE_A_MINUTE, EventRule, Ledger
from sra.logs import of_session
from sra.system import files

COUNTING_INTERVAL = 5.0
"""Seconds between looks at what was counted and is to be written."""

log = logging.getLogger("sra.daemon")

_OF_A_CARD = EventRule(BY_PEOPLE, origin="key")
_OF_A_STRANGER = EventRule(ONCE_A_MINUTE, is_refusal=True, by=("code",), origin="address")
_REFUSED = EventRule(ONCE_A_MINUTE, is_refusal=True, by=("code", "message"), origin="key")

RULES: dict[str, EventRule] = {
    "authenticated": _OF_A_CARD,
    "disconnected": _OF_A_CARD,
    "inserted": _OF_A_CARD,
    "ejected": _OF_A_CARD,
    "key-use": EventRule(BY_KEYS, origin="key"),
    "pin": EventRule(BY_PEOPLE, by=("entry", "outcome"), origin="key"),
    "screen-granted": _OF_A_CARD,
    "screen-started": _OF_A_CARD,
    "screen-ended": _OF_A_CARD,
    "refused": _OF_A_STRANGER,
    "screen-ticket-refused": _OF_A_STRANGER,
    "screen-refused": _REFUSED,
    "too-many": _REFUSED,
}
_OUTCOMES = ("done", "verified", "wrong")
"""Of a key use or a PIN question that the card or the person answered; any other was refused, failed or given up."""
_NOT_DONE = EventRule(ONCE_A_MINUTE, is_refusal=True, by=("outcome", "slot", "entry"), origin="key")


def rule_for(event: str, facts: Mapping[str, Fact]) -> EventRule:
    """The rule; an event without one is written as if a person had caused it."""
    if event in ("key-use", "pin") and facts.get("outcome") not in _OUTCOMES:
        return _NOT_DONE
    return RULES.get(event, EventRule(BY_PEOPLE))


class Recorder:
    """The audit trail; a full disk is told in the log and ends no session (docs/security.md)."""

    def __init__(self, path: Path) -> None:
        with contextlib.suppress(SraError):
            files.make_folder(path.parent, 0o750)
        self._ledger = Ledger(path, rule_for)

    def __call__(self, event: str, **facts: str | int) -> None:
        """Write one event down, or count it."""
        try:
            self._ledger.record(event, **facts)
        except SraError as error:
            about = of_session(str(facts.get("session", "")))
            log.error("%s could not be recorded: %s", event, error, extra=about)  # noqa: TRY400

    def write_counts(self, *, at_once: bool = False) -> None:
        """Write down how many were not written one by one."""
        try:
            self._ledger.write_counts(at_once=at_once)
        except SraError as error:
            log.error("repeated events could not be recorded yet: %s", error)  # noqa: TRY400

    async def keep_counting(self) -> None:
        """Write the numbers as they fall due, until cancelled; then all of them."""
        try:
            while True:
                await asyncio.sleep(COUNTING_INTERVAL)
                self.write_counts()
                logs.tell_counts()
        finally:
            self.write_counts(at_once=True)
