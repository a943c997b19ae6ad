"""systemd, as far as the product has to know it: whether it runs here, and whether the remote is its service."""

from __future__ import annotations

from pathlib import Path

BOOTED = Path("/run/systemd/system")
"""There where systemd is the first process (sd_booted(3))."""
UNIT_FOLDERS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))


def is_service() -> bool:
    """Whether the remote's programs are services of this machine, so that the journal has what they say."""
    return BOOTED.is_dir() and any((folder / "srad.service").exists() for folder in UNIT_FOLDERS)
