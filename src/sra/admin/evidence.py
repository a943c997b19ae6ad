"""The audit trail of a running ``sra connect``, and the numbers of what is not told one by one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sra.admin.audit_trail import rule_for
from sra.audit import AuditError
from sra.cli.console.output import print_error
from sra.cli.console.status_view import StatusView
from sra.ledger import Ledger

INTERVAL = 5.0
"""Seconds between looks at what was counted and is to be told."""


class Evidence:
    """Records events (``admin.audit_trail.Record``); one that can't be written is told on the terminal."""

    def __init__(self, path: Path, view: StatusView) -> None:
        self._ledger = Ledger(path, rule_for)
        self._view = view
        self._said = ""

    def __call__(self, event: str, **facts: str | int) -> None:
        """Write it down, or count it."""
        try:
            self._ledger.record(event, **facts)
        except AuditError as error:
            print_error(f"{event} could not be recorded: {error}")

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
                print_error(f"Repeated events could not be recorded yet: {error}")
