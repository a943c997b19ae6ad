"""What this machine tells about itself, and the memory that a program keeps from the others here."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import pwd
import re
import resource
import ssl
import subprocess
import sys
from pathlib import Path

from sra import __version__

PATIENCE = 5.0
"""Seconds for a program to say its version."""

_PROGRAMS = {"OpenSC": ("opensc-tool", "--info"), "pcscd": ("pcscd", "--version")}
_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?")

BOOTED = Path("/run/systemd/system")
"""A folder that exists where systemd is the first process (sd_booted(3))."""
UNIT_FOLDERS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))

_PR_SET_DUMPABLE = 4
"""prctl(2): without it no debugger of the same user can attach, and no core is written."""


def versions() -> dict[str, str]:
    """What runs here, by name; a program that is not there is missing."""
    found = {"sra": __version__, "Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION.split()[1]}
    for name, command in _PROGRAMS.items():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
            if match := _VERSION.search(said):
                found[name] = match[0]
    return found


def user(uid: int) -> str:
    """The name of a user, or the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def is_service() -> bool:
    """Whether the remote's programs are services of this machine, so that the journal has what they say."""
    return BOOTED.is_dir() and any((folder / "srad.service").exists() for folder in UNIT_FOLDERS)


def keep_memory_private() -> None:
    """Have no core files written and no debugger attached: a program that knows a PIN leaves it nowhere.

    Best effort where the system has no such thing.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
