"""``sra audit``: show the audit log of this machine, and verify that it was not changed."""

from __future__ import annotations

import heapq
import os
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from sra import audit
from sra.audit import AuditRecord
from sra.cli.console.options import AsJson, ConfigDir, SessionOption, examples
from sra.cli.console.output import print_json, print_note
from sra.errors import SraError
from sra.ledger import refusals_path
from sra.logs import clean
from sra.paths import Paths, admin_paths

app = typer.Typer(no_args_is_help=True, help="The audit log: what was done with cards, on this machine.")

RemoteRoot = Annotated[
    Path | None, typer.Option("--root", metavar="DIR", help="The log of the remote whose files are in DIR (“/”).")
]


class BrokenChainError(SraError):
    """The audit log was changed or damaged."""


@app.command(
    epilog=examples("sra audit show --last 20", "sra audit show --session 1a2b3c4d", "sra audit show --root /")
)
def show(
    *,
    last: Annotated[int, typer.Option(min=1, metavar="N", help="Only the newest N records.")] = 1_000_000,
    session: SessionOption = None,
    as_json: AsJson = False,
    root: RemoteRoot = None,
    config_dir: ConfigDir = None,
) -> None:
    """Show what was done, the newest last: on this remote if you are root and there is one, else your own log."""
    records = deque((each for each in read_both(find_log(root, config_dir)) if is_of(each, session)), last)
    if as_json:
        print_json(list(records))
    else:
        sys.stdout.writelines(f"{record_line(record)}\n" for record in records)
        if not records:
            print_note("nothing has been recorded yet")


@app.command(epilog=examples("sra audit verify", "sra audit verify --root /"))
def verify(*, root: RemoteRoot = None, config_dir: ConfigDir = None) -> None:
    """Check that every line follows from the one before; exit status 1, with the first that does not."""
    for path in logs_at(find_log(root, config_dir)):
        damage = audit.verify(path)
        if damage is not None:
            raise BrokenChainError(
                f"{damage.path}: line {damage.line} is damaged, or does not follow from the line before. "
                "Keep a copy of the folder as it is, and compare it with the log of the other machine."
            )
        oldest = next(iter(audit.full_files(path)), path)
        print_note(f"{path} is whole, from {oldest.name} on")


def logs_at(path: Path) -> list[Path]:
    """The audit log at ``path`` and that of its refusals; each of them may be missing."""
    both = [path, refusals_path(path)]
    return [each for each in both if each.exists() or audit.full_files(each)] or [path]


def read_both(path: Path) -> Iterator[AuditRecord]:
    """The records of both logs by their time; those of each log stay in their order, even if the clock was changed."""
    return heapq.merge(*(audit.read(each) for each in logs_at(path)), key=lambda record: record.time)


def find_log(root: Path | None, config_dir: Path | None) -> Path:
    """The remote's audit log, or the admin's own."""
    remote = Paths(root or Path("/")).audit
    if root is not None or (config_dir is None and os.geteuid() == 0 and remote.exists()):
        return remote
    return admin_paths(config_dir, os.environ).audit


def is_of(record: AuditRecord, session: str | None) -> bool:
    """Whether the record is about this session; true if no session is named."""
    return session is None or record.facts.get("session") == session


def record_line(record: AuditRecord) -> str:
    """A record in one line: when, what, and the facts."""
    facts = " ".join(f"{name}={fact}" for name, fact in record.facts.items())
    return clean(f"{record.time.astimezone():%Y-%m-%d %H:%M:%S} {record.event} {facts}", audit.MAX_LINE)
