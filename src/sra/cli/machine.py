"""What this machine tells about itself: its versions, its smart card service, its connections."""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from smartcard import scard

from sra import __version__
from sra.admin.cards import pcsc_reader
from sra.cli.checks import WrongError

READER = "Secure Remote Access"
"""What the names of the virtual readers begin with (reader/reader.conf.in)."""
MODULES = (
    "/usr/lib/*/opensc-pkcs11.so", "/usr/lib/opensc-pkcs11.so", "/usr/lib64/opensc-pkcs11.so",
    "/usr/lib64/pkcs11/opensc-pkcs11.so", "/Library/OpenSC/lib/opensc-pkcs11.so",
)  # fmt: skip
"""Where distributions put OpenSC's PKCS #11 module."""
TOOLS = ("pkcs11-tool", "opensc-tool")
PATIENCE = 5.0
"""Seconds for a program to say its version."""

_ESTABLISHED = "01"
"""TCP_ESTABLISHED in /proc/net/tcp (proc_pid_net(5))."""
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


def virtual_readers() -> list[str]:
    """The names of our readers in pcscd; raise ``CardError`` if there is no reader at all."""
    return [state.name for state in pcsc_reader.list_readers() if READER in state.name]


def check_opensc() -> str:
    """OpenSC's module; raise ``WrongError`` if it, or a tool of OpenSC, is missing."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    modules = [path for pattern in MODULES for path in Path("/").glob(pattern.removeprefix("/"))]
    if missing or not modules:
        what = " and ".join(missing) or "opensc-pkcs11.so"
        raise WrongError(
            f"{what} is missing, so no program here can use a card.", "apt-get install opensc opensc-pkcs11"
        )
    return str(modules[0])


def count_connections(port: int) -> int | None:
    """How many TCP connections to this port of this machine there are now; ``None`` where that can't be told."""
    tables = [Path("/proc/self/net") / name for name in ("tcp", "tcp6")]
    found = [table.read_text().splitlines() for table in tables if table.exists()]
    return sum(map(count_established, found, [port] * len(found))) if found else None


def count_established(lines: Iterable[str], port: int) -> int:
    """The connections in a table of the kernel's whose own end is at this port."""
    return sum(_is_established(line.split(), f":{port:04X}") for line in lines)


def _is_established(fields: Sequence[str], local: str) -> bool:
    return len(fields) > 3 and fields[1].endswith(local) and fields[3] == _ESTABLISHED
