"""The machine that was measured on, in words."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

PACKAGES = ("pcscd", "opensc", "libpam-pkcs11", "p11-kit", "softhsm2", "openssh-server")


def describe(load_before: float) -> list[str]:
    """One line each: processor, system, versions."""
    load = f"load average {load_before:.1f} before the run, {load_average():.1f} after it"
    return [
        f"{os.cpu_count()} cores, {_processor()}; {load}",
        f"{_system()}, Linux {platform.release()}, Python {platform.python_version()}",
        ", ".join(_versions()),
    ]


def load_average() -> float:
    """Processes that ran or waited for a core, over the last minute: beyond the cores, figures are about others."""
    return os.getloadavg()[0]


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
