"""pcscd on a host, with the virtual readers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.processes import Process

if TYPE_CHECKING:
    from lab.hosts import Host


def start_pcscd(host: Host, readers: int, runtime: Path, log: Path | None) -> Process:
    raise NotImplementedError
