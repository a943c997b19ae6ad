"""pcscd on a host, with the virtual readers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lab.processes import LabError, Process, wait_until

if TYPE_CHECKING:
    from lab.hosts import Host

READER = Path(__file__).resolve().parent.parent / "reader"
DRIVER = READER / "build" / "libifdvirtualserial.so"
CONFIGURATION = "/run/pcscd-configuration"


def start_pcscd(host: Host, readers: int, runtime: Path, log: Path | None) -> Process:
    """Start pcscd with ``readers`` virtual readers, and return when programs on the host see them all."""
    template = (READER / "reader.conf.in").read_text().replace("@LIBPATH@", str(DRIVER)).replace("@RUN@", str(runtime))
    host.run(["install", "-d", "--mode=0755", f"{runtime}/readers"])
    host.write(f"{CONFIGURATION}/virtual-readers", first_readers(template, readers))
    pcscd = host.start(["pcscd", "--foreground", f"--config={CONFIGURATION}"], log=log)
    wait_until(lambda: not pcscd.is_running or count_readers(host) == readers, f"{readers} readers in pcscd", 10)
    if not pcscd.is_running:
        raise LabError(f"pcscd ended:\n{pcscd.output}")
    return pcscd


def first_readers(template: str, count: int) -> str:
    """The first ``count`` entries of a reader.conf; each begins with its FRIENDLYNAME."""
    return "".join(re.split(r"(?m)^(?=FRIENDLYNAME)", template)[: 1 + count])


def count_readers(host: Host) -> int:
    """How many readers OpenSC sees on the host; it prints a line for each below two lines of heading."""
    lines = host.run(["opensc-tool", "--list-readers"], check=False).stdout.splitlines()
    return len([line for line in lines if line[:1].isdigit()])
