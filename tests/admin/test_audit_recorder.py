"""The audit trail of ``sra connect``: what can't be written is told, and not again and again."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from sra import audit
from sra.admin import audit_recorder as evidence_module
from sra.admin.audit_recorder import AuditRecorder
from sra.admin.events import Refused
from sra.cli.console.status_view import StatusView
from sra.ledger import refusals_path
from sra.programs.run import print_error


def view(file: io.StringIO) -> StatusView:
    return StatusView(Console(file=file, width=300), "remote")


async def test_numbers_are_written_and_shown_when_the_connection_ends(tmp_path: Path) -> None:
    shown = io.StringIO()
    watching = view(shown)
    evidence = AuditRecorder(tmp_path / "audit.jsonl", watching, print_error)
    counting = asyncio.create_task(evidence.keep_counting())
    await asyncio.sleep(0)
    for number in range(100):
        evidence("refused", code="not-allowed", reason=f"text {number}")
        watching.notice(Refused("sign with slot 9A", f"text {number}"))
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)
    records = [record.facts for record in audit.read(refusals_path(tmp_path / "audit.jsonl"))]
    assert [facts.get("repeated") for facts in records] == [None, 99]
    assert "99 more like this: Refused: sign with slot 9A: text 99" in shown.getvalue()


async def test_a_disk_that_stays_full_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evidence_module, "INTERVAL", 0.001)
    path = tmp_path / "audit.jsonl"
    evidence = AuditRecorder(path, view(io.StringIO()), print_error)
    evidence("refused", code="busy")
    evidence("refused", code="busy")
    for tally in evidence._ledger._of_refusals._tallies.values():
        tally.since = float("-inf")
    refusals_path(path).unlink()
    refusals_path(path).mkdir()
    monkeypatch.setattr("sra.repetitions.LOOK_AGAIN", 0.0)
    counting = asyncio.create_task(evidence.keep_counting())
    await asyncio.sleep(0.1)
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)
    assert capsys.readouterr().err.count("Repeated events could not be recorded yet") == 1
