"""The machine that was measured on, in words."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

PACKAGES = ("pcscd", "opensc", "libpam-pkcs11", "p11-kit", "softhsm2", "openssh-server")


def describe() -> list[str]:
    """One line each: processor, system, versions."""
    return [
        f"{os.cpu_count()} cores, {_processor()}; load average {os.getloadavg()[0]:.1f} before the run",
        f"{_system()}, Linux {platform.release()}, Python {platform.python_version()}",
        ", ".join(_versions()),
    ]


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _versions() -> list[str]:
    outcome = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    return outcome.stdout.splitlines()
