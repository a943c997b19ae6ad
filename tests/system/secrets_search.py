"""Looks for a PIN everywhere on a host: the memory of its processes, their words, and its files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from lab.hosts import CHECKOUT, Host

FOLDERS = ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/var", "/dev/shm")
PIECE = 16 * 1024 * 1024
_WRITTEN = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (?:rw\S\S|r\S\S\S \S+ 00:00 0\b)", re.MULTILINE)
"""Lines of /proc/PID/maps (proc(5)): readable, and writable or of no file. Files are searched as such."""


def forms(pin: str) -> list[bytes]:
    """The PIN as text, as UTF-16, padded as VERIFY has it, and in BCD (ISO 9564 format 2 and plain, padded)."""
    digits = bytes.fromhex(pin + "F" * (len(pin) % 2))
    return [
        pin.encode(),
        pin.encode("utf-16-le"),
        pin.encode().ljust(8, b"\xff"),
        bytes([0x20 + len(pin)]) + digits,
        digits + b"\xff\xff",
        digits + b"\x00\x00",
    ]


def processes_of(host: Host) -> list[int]:
    """The processes on the host, as the machine counts them."""
    space = _space(host.first_process)
    return [pid for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*")) if _space(pid) == space]


def _space(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:  # gone, or the machine's own
        return ""


def name_of(pid: int) -> str:
    """The program, and what it was started with."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def in_memory(pid: int, wanted: list[bytes]) -> tuple[bool, int]:
    """Whether the process has one of these in its memory, and how many bytes were looked at."""
    looked = 0
    for piece in _memory(pid):
        looked += len(piece)
        if any(each in piece for each in wanted):
            return True, looked
    return False, looked


def _memory(pid: int) -> Iterator[bytes]:
    """All that can have been written to, in pieces that overlap a little."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError):
        return
    try:
        for begin, end in _WRITTEN.findall(maps):
            for at in range(int(begin, 16), int(end, 16), PIECE):
                try:
                    yield os.pread(memory, min(PIECE + 32, int(end, 16) - at), at)
                except (OSError, OverflowError):  # [vvar] and the like
                    continue
    finally:
        os.close(memory)


def in_words(pid: int, wanted: list[bytes]) -> bool:
    """Whether its arguments or its environment have it."""
    said = _read(pid, "cmdline") + _read(pid, "environ")
    return any(each in said for each in wanted)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def in_files(host: Host, wanted: list[bytes], since: float) -> tuple[list[str], int]:
    """The files of the host, written since then, that have it; and how many were looked at.

    Not those of the checkout, which is the outer machine's, and where other tests write at the same time.
    """
    elsewhere = ["-path", str(CHECKOUT), "-prune", "-o"]
    newer = ["-type", "f", "(", "-newermt", f"@{since}", "-o", "-newerct", f"@{since}", ")", "-size", "-256M"]
    names = host.run(["find", *FOLDERS, *elsewhere, *newer, "-print0"], check=False).stdout.split("\0")[:-1]
    root = Path(f"/proc/{host.first_process}/root")
    return [name for name in names if _has(root / name.lstrip("/"), wanted)], len(names)


def _has(path: Path, wanted: list[bytes]) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    return any(each in data for each in wanted)
