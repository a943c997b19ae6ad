"""The audit trail of a connection, and the numbers of what is not told one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sra.admin.audit_trail import rule_for
from sra.admin.events import Watcher
from sra.audit import AuditError
from sra.ledger import Ledger

INTERVAL = 5.0
"""Seconds between looks at what was counted and is to be told."""


class CountingWatcher(Watcher, Protocol):
    """A watcher that shows repetitions as numbers."""

    def tell_counts(self, *, at_once: bool) -> None:
        """Show the numbers that are due; all of them ``at_once``."""


class AuditRecorder:
    """Records events (``RecordEvent``); ``complain`` tells the person of one that can't be written."""

    def __init__(self, path: Path, view: CountingWatcher, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._ledger = Ledger(path, rule_for)
        self._view = view
        self._said = ""

    def __call__(self, event: str, **facts: str | int) -> None:
        """Write it down, or count it."""
        try:
            self._ledger.record(event, **facts)
        except AuditError as error:
            self._complain(f"{event} could not be recorded: {error}")

    async def keep_counting(self) -> None:
        """Tell the numbers as they fall due, until cancelled; then all of them."""
        try:
            while True:
                await asyncio.sleep(INTERVAL)
                self._tell(at_once=False)
        finally:
            self._tell(at_once=True)

    def _tell(self, *, at_once: bool) -> None:
        self._view.tell_counts(at_once=at_once)
        try:
            self._ledger.write_counts(at_once=at_once)
            self._said = ""
        except AuditError as error:
            if str(error) != self._said:  # once: a disk stays full for long
                self._said = str(error)
                self._complain(f"Repeated events could not be recorded yet: {error}")
