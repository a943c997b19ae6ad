"""The units of the login, put in and taken out where systemd runs; ``sra remote run`` does without them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sra.cli.console.output import print_note
from sra.remote.logins.refresh import SYSTEMD
from sra.remote.logins.units import SERVICE, STARTED, unit_files
from sra.system import files

UNITS = Path("/etc/systemd/system")
MAX_UNIT = 64 * 1024


def install() -> None:
    """Put the units in and start watching; nothing where systemd does not run."""
    if not SYSTEMD.is_dir():
        return
    changed = False
    for name, text in unit_files(sys.executable).items():
        content = files.read(UNITS / name, MAX_UNIT)
        if content is None or content.data != text:
            files.replace(UNITS / name, text, 0o644)
            changed = True
    if changed:
        _run("daemon-reload")
    _run("enable", "--now", *STARTED)


def remove() -> None:
    """Stop watching and remove the units, if they are there."""
    units = [UNITS / name for name in (SERVICE, *STARTED)]
    if not any(unit.exists() for unit in units):
        return
    _run("disable", *STARTED)
    if SYSTEMD.is_dir():
        _run("stop", *STARTED, SERVICE)
    for unit in units:
        unit.unlink(missing_ok=True)
    if SYSTEMD.is_dir():
        _run("daemon-reload")


def _run(*arguments: str) -> None:
    command: Sequence[str] = ("systemctl", *arguments)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print_note(f"note: “{' '.join(command)}” failed: {' '.join(done.stderr.split())}")
