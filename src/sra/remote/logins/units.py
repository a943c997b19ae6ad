"""The units that keep the login's files true where systemd runs; ``sra remote run`` does without them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from sra.system import files
from sra.system.machine import BOOTED

SERVICE = "sra-logins.service"
STARTED = ("sra-logins.path", "sra-logins.timer")
"""Those that are enabled; they start the service."""

UNITS = Path("/etc/systemd/system")
MAX_UNIT = 64 * 1024


def unit_files(python: str) -> dict[str, bytes]:
    """Name -> unit, for a Python that has this product."""
    folder = resources.files(__package__).joinpath("files")
    texts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in (SERVICE, *STARTED)}
    return {name: text.replace("@PYTHON@", python).encode() for name, text in texts.items()}


def install(note: Callable[[str], None]) -> None:
    """Put the units in and start watching; nothing where systemd does not run. ``note`` hears what failed."""
    if not BOOTED.is_dir():
        return
    if missing := outdated():
        for name, text in missing.items():
            files.replace(UNITS / name, text, 0o644)
        _run(note, "daemon-reload")
    _run(note, "enable", "--now", *STARTED)


def renew(note: Callable[[str], None]) -> None:
    """Put this version's units in the place of another's, which name programs that may be gone; none where none are.

    What has changed since those failed is made good at once. ``note`` hears what failed.
    """
    if (UNITS / SERVICE).exists() and outdated():
        install(note)
        _run(note, "start", SERVICE)


def outdated() -> dict[str, bytes]:
    """The units that are missing, or not as this version writes them: name -> how it does."""
    found = {name: files.read(UNITS / name, MAX_UNIT) for name in (SERVICE, *STARTED)}
    current = {name: content.data for name, content in found.items() if content is not None}
    return {name: text for name, text in unit_files(sys.executable).items() if current.get(name) != text}


def remove(note: Callable[[str], None]) -> None:
    """Stop watching and remove the units, if they are there. ``note`` hears what failed."""
    units = [UNITS / name for name in (SERVICE, *STARTED)]
    if not any(unit.exists() for unit in units):
        return
    _run(note, "disable", *STARTED)
    if BOOTED.is_dir():
        _run(note, "stop", *STARTED, SERVICE)
    for unit in units:
        unit.unlink(missing_ok=True)
    if BOOTED.is_dir():
        _run(note, "daemon-reload")


def _run(note: Callable[[str], None], *arguments: str) -> None:
    command: Sequence[str] = ("systemctl", *arguments)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        note(f"note: “{' '.join(command)}” failed: {' '.join(done.stderr.split())}")
