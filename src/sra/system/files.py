"""Small files that are trusted: read within bounds, replaced as a whole, changed under a lock.

A file that is read here is a plain file (no symbolic link, no pipe) that no stranger can write; a file that is written
here is either the old one or the new one, whatever happens in between.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sra.errors import UsageError

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
CLOCK_TICK = 100_000_000
"""Nanoseconds within which a file system may give two changes the same time: 4 to 10 ms on Linux, and some to spare."""

_HINTS = {
    errno.EACCES: "It needs the rights of the file's owner: on a remote, run this as root.",
    errno.EPERM: "It needs the rights of the file's owner: on a remote, run this as root.",
    errno.ENOENT: "Create the folder first.",
    errno.ELOOP: "It is a symbolic link; put the file itself there.",
    errno.ENOSPC: "Make room on the disk and run this again.",
    errno.EDQUOT: "Make room on the disk and run this again.",
    errno.EROFS: "The disk is read-only; make it writable and run this again.",
}


class FileError(UsageError):
    """A file can't be read, written or trusted; ``path`` is the file, and ``command`` mends it, if one does."""

    def __init__(self, path: Path, text: str, command: str = "") -> None:
        super().__init__(f"{path}: {text} Run: {command}" if command else f"{path}: {text}")
        self.path = path
        self.command = command


@dataclass(frozen=True)
class FileContent:
    """What a file held, its permission bits and owner, and the stamp (``stamp``) of this content.

    Without a stamp, the file changed so recently that its next change could bear the same time.
    """

    data: bytes
    mode: int
    owner: int
    stamp: tuple[int, ...] | None


def stamp(path: Path) -> tuple[int, ...]:
    """A value that changes whenever the file does; empty if there is none."""
    try:
        return _stamp(path.lstat())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _failure(path, error) from error


def read(path: Path, limit: int) -> FileContent | None:
    """What the file holds, at most ``limit`` bytes; ``None`` if there is no such file.

    Raises ``FileError`` if it can't be read, is no plain file, is too long, or if others than its owner may write it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failure(path, error) from error
    try:
        status = os.fstat(descriptor)
        _check_plain(path, status)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise _failure(path, error) from error
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise FileError(path, f"the file is longer than {limit} bytes, so it is not read.")
    is_settled = time.time_ns() - status.st_ctime_ns > CLOCK_TICK
    return FileContent(data, stat.S_IMODE(status.st_mode), status.st_uid, _stamp(status) if is_settled else None)


def read_trusted(path: Path, limit: int) -> FileContent | None:
    """As ``read``, for a file that decides whom to trust: it has to be root's, ours, or the folder owner's.

    Others may not write to the folder either: a user who can take the file away decides too.
    """
    _check_folder(path.parent)
    content = read(path, limit)
    if content is not None and content.owner not in {0, os.geteuid(), path.parent.stat().st_uid}:
        raise FileError(path, "this file belongs to another user, so it is not trusted.", f"chown root {path}")
    return content


def _check_folder(folder: Path) -> None:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failure(folder, error) from error
    is_open = status.st_mode & stat.S_IWOTH or (
        status.st_mode & stat.S_IWGRP and status.st_gid not in {0, os.getegid()}
    )
    if is_open and not status.st_mode & stat.S_ISVTX:
        raise FileError(folder, "others can write here, so nothing in it is trusted.", f"chmod go-w {folder}")


def replace(path: Path, data: bytes, mode: int) -> None:
    """Put ``data`` in the file, in one step that survives a power cut; raise ``FileError`` and change nothing.

    The file belongs to the owner of its folder, so that what root writes is what the service can read.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_new(draft, data, mode)
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise _failure(path, error) from error


def make_folder(path: Path, mode: int) -> None:
    """Create the folder, and those above it, unless it is there; raise ``FileError`` if it can't be.

    It has this mode whatever the umask is; and so have those above it that are new, if every user is to enter it.
    """
    try:
        missing = [each for each in (path, *path.parents) if not each.exists()]
        path.mkdir(mode, parents=True, exist_ok=True)
        for each in missing if mode & stat.S_IXOTH else missing[:1]:
            each.chmod(mode)
    except OSError as error:
        raise _failure(path, error) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other process that asks for the same lock out while the file is changed.

    The lock is a file of its own beside it, because ``replace`` makes the locked one vanish.
    """
    lock = path.with_name(f".{path.name}.lock")
    with _locked(path, lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) as descriptor:
        give_to_folder_owner(descriptor, path.parent)
        yield


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """The same for all files of a folder, which is the lock itself."""
    with _locked(folder, folder, os.O_RDONLY | os.O_DIRECTORY):
        yield


@contextmanager
def _locked(path: Path, lock: Path, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(lock, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _failure(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)  # which gives the lock back, as the end of the process does


def give_to_folder_owner(descriptor: int, folder: Path) -> None:
    """What root creates in the service's folder is the service's.

    A file with a second name is left alone: a service that was broken into could have linked one of root's there.
    """
    if os.geteuid() == 0 and not _has_second_name(os.fstat(descriptor)):
        status = folder.stat()
        os.fchown(descriptor, status.st_uid, status.st_gid)


def _has_second_name(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """A new file with this content, on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        give_to_folder_owner(descriptor, path.parent)
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the new name as durable as the new content."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_plain(path: Path, status: os.stat_result) -> None:
    """Raise ``FileError`` unless it is a plain file that only its owner can write."""
    if not stat.S_ISREG(status.st_mode):
        raise FileError(path, "this is not a plain file, so it is not read.")
    if status.st_mode & OTHERS_MAY_WRITE:
        raise FileError(path, "others may write this file, so it is not trusted.", f"chmod go-w {path}")


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _failure(path: Path, error: OSError) -> FileError:
    """The error in words, with the next step where there is one."""
    hint = _HINTS.get(error.errno or 0, "")
    return FileError(path, f"{error.strerror or error}. {hint}".rstrip())
