"""What this machine tells about itself: its versions, its smart card service, its connections."""

from __future__ import annotations

import contextlib
import platform
import pwd
import re
import ssl
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from smartcard import scard

from sra import __version__
from sra.checks import WrongError

PATIENCE = 5.0
"""Seconds for a program to say its version."""

_ESTABLISHED, _LISTENING = "01", "0A"
"""TCP_ESTABLISHED and TCP_LISTEN in /proc/net/tcp (proc_pid_net(5))."""
_PROGRAMS = {"OpenSC": ("opensc-tool", "--info"), "pcscd": ("pcscd", "--version")}
_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?")


def versions() -> dict[str, str]:
    """What runs here, by name; a program that is not there is missing."""
    found = {"sra": __version__, "Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION.split()[1]}
    for name, command in _PROGRAMS.items():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
            if match := _VERSION.search(said):
                found[name] = match[0]
    return found


def check_pcscd() -> str:
    """Raise ``WrongError`` unless the smart card service answers."""
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    if result != scard.SCARD_S_SUCCESS:
        raise WrongError(f"pcscd does not answer: {scard.SCardGetErrorMessage(result)}", "systemctl start pcscd.socket")
    scard.SCardReleaseContext(context)
    return "pcscd answers"


def count_connections(port: int) -> int | None:
    """How many TCP connections to this port of this machine there are now; ``None`` where that can't be told."""
    lines = _connections()
    return None if lines is None else count_established(lines, port)


def count_established(lines: Iterable[str], port: int) -> int:
    """The connections in a table of the kernel's whose own end is at this port."""
    return sum(1 for _ in _at(lines, port, _ESTABLISHED))


def listeners(port: int) -> list[int]:
    """Whose programs listen at this TCP port of this machine: their users' numbers, as far as that can be told."""
    return sorted({int(fields[7]) for fields in _at(_connections() or (), port, _LISTENING)})


def user(uid: int) -> str:
    """The name of a user, or the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _connections() -> list[str] | None:
    """The lines of the kernel's tables; ``None`` where it has none."""
    tables = [table for name in ("tcp", "tcp6") if (table := Path("/proc/self/net") / name).exists()]
    return [line for table in tables for line in table.read_text().splitlines()] if tables else None


def _at(lines: Iterable[str], port: int, state: str) -> Iterator[list[str]]:
    """The fields of each line whose own end is at this port, in this state."""
    for fields in map(str.split, lines):
        if len(fields) > 7 and fields[1].endswith(f":{port:04X}") and fields[3] == state:
            yield fields
