"""The demonstration runs through to its end, and leaves nothing on the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.hosts import CHECKOUT

STEPS = (
    "A card that is paired with nobody is refused ok",
    "A signature forged for the paired card is refused ok",
    "Connecting: TLS, challenge, proof by the card, insertion ok",
    "pkcs11-tool lists its objects ok",
    "PAM logs the account in: pam_pkcs11, asked by pamtester ok",
    "The card is pulled out on the admin's side: the remote's reader is empty ok",
    "sra screen: the login window is seen in TigerVNC's viewer ok",
    "Enter, twice: the card logs in there, the PIN is asked here ok",
    "Logging out there: the screen comes back by itself ok",
)
FILES = ("/etc/passwd", "/etc/shadow", "/etc/group")
FOLDERS = (
    "/etc/sra",
    "/run/sra",
    "/var/log/sra",
    "/var/lib/sra",
    "/root/cards",
    "/root/work",
    "/etc/pam_pkcs11/digest_mapping",
)


def descendants(session: int) -> list[str]:
    """The processes of the session that the demonstration was started in, and of those that it made hosts in."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"SRA_DEMO_RUN={session}".encode() in path.read_bytes():
                found.append(path.parent.joinpath("cmdline").read_text())
        except OSError:
            continue
    return found


def machine() -> dict[str, object]:
    """What the demonstration could have changed."""
    files = {name: Path(name).read_bytes() for name in FILES}
    folders = {name: Path(name).exists() for name in FOLDERS}
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout
    return {**files, **folders, "mounts": Path("/proc/self/mountinfo").read_text(), "links": links}


@pytest.mark.timeout(120)
def test_it_works_and_leaves_no_process_account_mount_or_file() -> None:
    before = machine()
    mark = os.getpid()
    environment = {**os.environ, "SRA_DEMO_RUN": str(mark)}
    ran = subprocess.run(
        [sys.executable, "-m", "demo.main"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = " ".join(ran.stdout.split())
    assert [step for step in STEPS if step not in said] == []
    assert "All of it worked, in " in said
    assert said.endswith("Nothing is left behind.")
    assert descendants(mark) == []
    assert machine() == before
