"""The audit log: a line of JSON per decision, each carrying the hash of the line before.

A line that is changed, added or removed breaks the chain at the next one; only the loss of the last lines can't be seen
in the file itself. A record that can't be written raises ``AuditError``, so that the caller can refuse, or report it.
Records aren't forced to the disk one by one (a signature must not wait for it, and a power cut ends the session too);
they are the kernel's before the decision takes effect, so a crash of the process loses none.

A file that is full is renamed (``audit-000001.jsonl`` is the oldest ever), and the chain goes on in a new one: its
first line carries the hash of the last line of the file before. The oldest files are deleted.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from sra.errors import SraError
from sra.logs import clean
from sra.system import files

MAX_LINE = 64 * 1024
"""Bytes of a line: a record has some 300; more than this is damage."""

MAX_TEXT = 256
"""Characters of one fact: a subject or a reason, from a peer perhaps, which long texts help to fill the log."""

MAX_FILE = 16 * 1024 * 1024
"""Bytes of a file before the next is begun: some 50,000 records."""

MAX_FULL_FILES = 8
"""Full files that are kept: with the one being written some 450,000 records, and 144 MiB at most."""

PATIENCE = 5.0
"""Seconds that a reader waits for a writer."""

FIRST = "0" * 64
"""The hash of the line before, in the first line of all."""

Fact = str | int | bool | None

RecordEvent = Callable[..., None]
"""Writes one event down: its name, and facts by name, each a ``Fact``. Where a full disk must end nothing, it never
raises; else ``AuditError``."""


class AuditError(SraError):
    """The audit log can't be written or read."""


class AuditRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line. ``time`` is UTC; ``previous`` the SHA-256 (hexadecimal) of the line before, without its line end."""

    time: datetime
    event: str
    facts: dict[str, Fact]
    previous: str


@dataclass(frozen=True)
class Damage:
    """Where the chain is broken first: this line (from 1) is damaged, or doesn't follow from the one before."""

    path: Path
    line: int


@dataclass(frozen=True)
class Bounds:
    """How much is kept: ``file_size`` bytes in a file, and so many full files."""

    file_size: int = MAX_FILE
    full_files: int = MAX_FULL_FILES


class Audit:
    """The audit log at ``path``. Several processes may write to the same one."""

    def __init__(self, path: Path, bounds: Bounds = Bounds()) -> None:
        self._path = path
        self._bounds = bounds

    def record(self, event: str, /, **facts: Fact) -> None:
        """Add a record, now; raise ``AuditError`` if it can't be written. Text is cleaned of control characters."""
        cleaned = {name: clean(fact, MAX_TEXT) if isinstance(fact, str) else fact for name, fact in facts.items()}
        try:
            self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
            while not self._append(event, cleaned):
                pass
        except OSError as error:
            text = f"{self._path}: {error.strerror}. Check the disk and who owns the audit log."
            raise AuditError(text) from error

    def _append(self, event: str, facts: dict[str, Fact]) -> bool:
        """Whether it was written; if not, the file was full and the next is to be begun.

        A line torn by a power cut is ended first, and stays damaged.
        """
        with _locked(self._path) as descriptor:
            size, last = _last_line(descriptor)
            if size == 0:
                files.give_to_folder_owner(descriptor, self._path.parent)
            line = _next_line(last or _last_of_full_files(self._path), event, facts)
            if size > 0 and size + len(line) > self._bounds.file_size:
                _put_aside(self._path, self._bounds.full_files)
                return False
            _write_all(descriptor, b"\n" + line if last and not last.endswith(b"\n") else line, size)
            return True


def verify(path: Path) -> Damage | None:
    """Where the chain of the log at ``path``, with the full files before it, is broken first; ``None`` if nowhere.

    Where the oldest files have been deleted, the chain begins with the oldest that is left. Raises ``AuditError`` if
    there is no log or it can't be read.
    """
    with _opened(path) as chain:
        previous = None if (_number(chain[0].path, path) or 1) > 1 else FIRST
        for part in chain:
            for number, line in enumerate(part.lines(), 1):
                record = _decode(line)
                if record is None or previous not in {None, record.previous}:
                    return Damage(part.path, number)
                previous = _hash(line)
    return None


def read(path: Path) -> Iterator[AuditRecord]:
    """Every record, the oldest first; lines that are damaged are left out (``verify`` finds them)."""
    with _opened(path) as chain:
        for part in chain:
            yield from (record for line in part.lines() if (record := _decode(line)) is not None)


def full_files(path: Path) -> list[Path]:
    """The full files of the log at ``path``, the oldest first."""
    numbered = {_number(other, path): other for other in path.parent.glob(f"{path.stem}-*{path.suffix}")}
    return [numbered[number] for number in sorted(number for number in numbered if number is not None)]


@dataclass(frozen=True)
class _Part:
    """A file of the log, open; only its first ``size`` bytes count."""

    path: Path
    file: BinaryIO
    size: int

    def lines(self) -> Iterator[bytes]:
        """Its lines, with their ends; one that is too long comes in pieces."""
        left = self.size
        while left > 0 and (line := self.file.readline(min(MAX_LINE + 1, left))):
            left -= len(line)
            yield line


@contextmanager
def _opened(path: Path) -> Iterator[Sequence[_Part]]:
    """The files of the log, the oldest first, as they are now, whatever is added or put aside while they are read.

    The one being written is opened first: if it is put aside in that moment, it is met again under its new name.
    """
    with ExitStack() as stack:
        try:
            last = _open_part(stack, path) if path.exists() or not full_files(path) else None
            parts = [_open_part(stack, other) for other in full_files(path)]
        except OSError as error:
            raise AuditError(f"{path}: {error.strerror}. Name the audit log to be read.") from error
        if last is not None and not any(_is_same(part, last) for part in parts):
            parts.append(last)
        yield parts


def _open_part(stack: ExitStack, path: Path) -> _Part:
    """The file as far as it is written; the lock makes sure that this is not in the middle of a line."""
    file = stack.enter_context(os.fdopen(_open_plain(path), "rb"))
    _lock_for_reading(file.fileno(), path)
    size = os.fstat(file.fileno()).st_size
    fcntl.flock(file, fcntl.LOCK_UN)
    return _Part(path, file, size)


def _open_plain(path: Path, flags: int = 0) -> int:
    """Open for reading; a pipe, for which a broken service could have root wait for ever, is an error."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "this is not a plain file", str(path))


def _lock_for_reading(descriptor: int, path: Path) -> None:
    """Wait while a line is written, which takes a moment; a broken service may keep the lock."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise OSError(errno.EAGAIN, "another process keeps it locked", str(path)) from error
            time.sleep(0.01)
        else:
            return


def _is_same(one: _Part, other: _Part) -> bool:
    return os.path.sameopenfile(one.file.fileno(), other.file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file at ``path``, open and locked; not one that was put aside while this waited for the lock."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.lstat()):
                    yield descriptor
                    return
        finally:
            os.close(descriptor)


def _put_aside(path: Path, keep: int) -> None:
    """Give the file, which is locked, the next number, and delete the oldest beyond ``keep``."""
    full = full_files(path)
    number = (_number(full[-1], path) or 0) + 1 if full else 1
    path.rename(path.with_name(f"{path.stem}-{number:06d}{path.suffix}"))
    for oldest in full[: max(0, len(full) + 1 - keep)]:
        oldest.unlink(missing_ok=True)


def _number(other: Path, path: Path) -> int | None:
    """The number of a full file of the log at ``path``; ``None`` for any other file."""
    match = re.fullmatch(rf"{re.escape(path.stem)}-([0-9]{{6,9}}){re.escape(path.suffix)}", other.name)
    return int(match[1]) if match else None


def _last_of_full_files(path: Path) -> bytes:
    """The last line of the newest full file; empty if there is none."""
    full = full_files(path)
    if not full:
        return b""
    descriptor = _open_plain(full[-1], os.O_NOFOLLOW)
    try:
        return _last_line(descriptor)[1]
    finally:
        os.close(descriptor)


def _next_line(last: bytes, event: str, facts: dict[str, Fact]) -> bytes:
    """The line that follows ``last`` (empty: none)."""
    record = AuditRecord(datetime.now(UTC), event, facts, _hash(last) if last else FIRST)
    line = msgspec.json.encode(record) + b"\n"
    if len(line) > MAX_LINE:
        raise OSError(errno.EMSGSIZE, "the record is too long")
    return line


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


def _decode(line: bytes) -> AuditRecord | None:
    """The record in a line; ``None`` if it is damaged."""
    try:
        return msgspec.json.decode(line, type=AuditRecord) if line.endswith(b"\n") else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
