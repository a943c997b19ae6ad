"""The audit log: a line of JSON per decision, each carrying the hash of the line before.

Who changes, adds or removes a line breaks the chain at the next one; only the loss of the last lines can't be seen in
the file itself. A record that can't be written raises ``AuditError``, so that the caller can refuse, or report it.
Records aren't forced to the disk one by one (a signature must not wait for it, and a power cut ends the session too);
they are the kernel's before the decision takes effect, so a crash of the process loses none.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sra import files
from sra.errors import SraError
from sra.logs import clean

MAX_LINE = 64 * 1024
"""Bytes of a line: a record has some 300; more than this is damage."""

MAX_TEXT = 1024
"""Characters of one fact: a subject or a reason, from a peer perhaps."""

FIRST = "0" * 64
"""What the first line carries as the hash of the line before."""

Fact = str | int | bool | None


class AuditError(SraError):
    """The audit log can't be written or read."""


class AuditRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line. ``time`` is UTC; ``previous`` the SHA-256 (hexadecimal) of the line before, without its line end."""

    time: datetime
    event: str
    facts: dict[str, Fact]
    previous: str


class Audit:
    """The audit log at ``path``. Several processes may write to the same one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, event: str, /, **facts: Fact) -> None:
        """Add a record, now; raise ``AuditError`` if it can't be written. Text is cleaned of control characters."""
        cleaned = {name: clean(fact, MAX_TEXT) if isinstance(fact, str) else fact for name, fact in facts.items()}
        try:
            self._append(event, cleaned)
        except OSError as error:
            text = f"{self._path}: {error.strerror}. Check the disk and who owns the audit log."
            raise AuditError(text) from error

    def _append(self, event: str, facts: dict[str, Fact]) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size, last = _last_line(descriptor)
            if size == 0:
                files.give_to_folder_owner(descriptor, self._path.parent)
            _write_all(descriptor, _next_line(last, event, facts), size)
        finally:
            os.close(descriptor)


def verify(path: Path) -> int | None:
    """The number (from 1) of the first line that is damaged or doesn't follow from the one before; ``None`` if none.

    Raises ``AuditError`` if there is no log or it can't be read.
    """
    try:
        with path.open("rb") as file:
            previous, number = FIRST, 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if not _follows(line, previous):
                    return number
                previous = _hash(line.removesuffix(b"\n"))
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror}. Name the audit log to be verified.") from error
    return None


def _next_line(last: bytes, event: str, facts: dict[str, Fact]) -> bytes:
    """The line that follows ``last`` (empty: none). One torn by a power cut is ended first, and stays damaged."""
    record = AuditRecord(datetime.now(UTC), event, facts, _hash(last.removesuffix(b"\n")) if last else FIRST)
    line = msgspec.json.encode(record) + b"\n"
    if len(line) > MAX_LINE:
        raise OSError(errno.EMSGSIZE, "the record is too long")
    return line if last.endswith(b"\n") or not last else b"\n" + line


def _last_line(descriptor: int) -> tuple[int, bytes]:
    """The size of the file, and its last line with the line end that it should have."""
    size = os.fstat(descriptor).st_size
    block = os.pread(descriptor, MAX_LINE + 1, max(0, size - MAX_LINE - 1))
    return size, block[block.rfind(b"\n", 0, -1) + 1 :]


def _write_all(descriptor: int, data: bytes, size: int) -> None:
    """Write the line as a whole, or nothing of it."""
    try:
        written = os.write(descriptor, data)
        if written < len(data):
            os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _follows(line: bytes, previous: str) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        return msgspec.json.decode(line, type=AuditRecord).previous == previous
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
