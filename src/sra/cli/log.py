"""``sra log``: what the programs of this machine say, wherever it is kept."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TextIO

import typer

from sra.cli.audit import is_of, logs_at, read_both, record_line
from sra.cli.console.options import ConfigDir, SessionOption, examples
from sra.errors import UsageError
from sra.logs import clean
from sra.paths import Paths, admin_paths
from sra.system.machine import is_service

IDENTIFIERS = ("srad", "sra-card", "sra-screen")
"""By which the journal knows the remote's programs (``SyslogIdentifier=`` of their units)."""
LOOK_AGAIN = 0.2
"""Seconds between two looks at a file that is followed."""
MAX_LINE = 64 * 1024

_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_STAMP = len("2027-01-15 08:00:00")

EXAMPLES = examples(
    "sra log --follow", "sra log --since 2h", "sra log --since '2027-01-15 08:00'", "sra log --session 1a2b3c4d"
)

SinceOption = Annotated[
    str, typer.Option(metavar="WHEN", help="Only since then: 30m, 2h, 7d, or YYYY-MM-DD [HH:MM[:SS]].")
]


def log(
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes, until Ctrl-C.")] = False,
    since: SinceOption = "",
    session: SessionOption = None,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="DIR", help="The remote that runs by hand on the files in DIR.")
    ] = None,
    config_dir: ConfigDir = None,
) -> None:
    """Show what the remote's programs log on a remote; on an admin's machine, its audit log."""
    begin = parse_since(since, datetime.now().astimezone())
    paths = Paths(root or Path("/"))
    if root is None and is_service():
        command = journal_command(begin, session, follow=follow)
        os.execvp(command[0], command)  # noqa: S606 - there is no shell, and nothing of it comes from outside
    elif log_file(paths).exists():
        show_file(log_file(paths), begin, session, follow=follow)
    elif root is not None:
        raise UsageError(f"{log_file(paths)} is missing: “sra remote run --root {root}” writes it.")
    else:
        show_audit(admin_paths(config_dir, os.environ).audit, begin, session, follow=follow)


def log_file(paths: Paths) -> Path:
    """Where the programs of a remote log that runs by hand."""
    return paths.audit.with_name("sra.log")


def journal_command(since: datetime | None, session: str | None, *, follow: bool) -> list[str]:
    """The command that shows the journal's lines of our programs (journalctl(1))."""
    if not shutil.which("journalctl"):
        raise UsageError(
            "There is no journalctl here. Install systemd's tools, or ask whoever keeps this machine's logs."
        )
    names = [word for name in IDENTIFIERS for word in ("--identifier", name)]
    begin = [f"--since=@{since.timestamp():.0f}"] if since else []
    about = [f"--grep=^session={session} "] if session else []
    return ["journalctl", "--output=short-iso", *names, *begin, *about, *(["--follow"] if follow else [])]


def parse_since(text: str, now: datetime) -> datetime | None:
    """The moment that is meant, in the time zone of ``now``; ``None`` for an empty text."""
    if not text:
        return None
    if match := _AGO.fullmatch(text):
        try:
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"“{clean(text)}” is no time. Write 30m, 2h, 7d, or YYYY-MM-DD [HH:MM[:SS]].") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


def show_file(path: Path, since: datetime | None, session: str | None, *, follow: bool) -> None:
    """Print the lines of a log file."""
    for line in lines_about(lines_since(lines_of(path, follow=follow), since), session):
        sys.stdout.write(f"{clean(line, MAX_LINE)}\n")
        sys.stdout.flush()


def lines_since(lines: Iterable[str], since: datetime | None) -> Iterator[str]:
    """The lines from the first that is not before ``since``; their times are this machine's."""
    begun = since is None
    for line in lines:
        begun = begun or (since is not None and _is_from(line, since))
        if begun:
            yield line


def lines_about(lines: Iterable[str], session: str | None) -> Iterator[str]:
    """The lines that the programs have marked as this session's; all of them if none is named."""
    mark = re.compile(rf"\S+ \S+ [A-Z]+ \S+: session={session} ")
    yield from (line for line in lines if session is None or mark.match(line))


def lines_of(path: Path, *, follow: bool) -> Iterator[str]:
    """The lines of the file; with ``follow`` those to come too, also of a file that takes its place."""
    while True:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from _rest_of(file)
            while follow and not _is_replaced(file, path):
                time.sleep(LOOK_AGAIN)
                yield from _rest_of(file)
        if not follow:
            return


def show_audit(path: Path, since: datetime | None, session: str | None, *, follow: bool) -> None:
    """Print the records of an audit log."""
    if not any(each.exists() for each in logs_at(path)):
        raise UsageError("Nothing is logged here: this machine is no remote, and its card was never lent to one.")
    last = since or datetime.min.replace(tzinfo=UTC)
    while True:
        for record in read_both(path):
            if record.time > last:
                if is_of(record, session):
                    sys.stdout.write(f"{record_line(record)}\n")
                last = record.time
        if not follow:
            return
        sys.stdout.flush()
        time.sleep(LOOK_AGAIN)


def _rest_of(file: TextIO) -> Iterator[str]:
    while line := file.readline():
        yield line.rstrip("\n")


def _is_replaced(file: TextIO, path: Path) -> bool:
    try:
        return not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _is_from(line: str, since: datetime) -> bool:
    """Whether the line begins with a time that is not before ``since``."""
    try:
        return datetime.fromisoformat(line[:_STAMP]).astimezone() >= since.replace(microsecond=0)
    except ValueError:
        return False
