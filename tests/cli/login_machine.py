"""A machine in a folder, whose logins can take a card."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sra.programs.run import status
from tests.chains import card_file
from tests.cli.whole import app

ACCOUNT = "root"
"""An account that every machine has."""
STACK = "@include common-auth\n@include common-account\n"
MACHINE = {
    "etc/pam.d/login": STACK,
    "etc/pam.d/su": STACK,
    "etc/pam.d/sudo": f"# sudo\n{STACK}",
    "etc/pam.d/sshd": STACK,
    "etc/pam.d/odd": "auth required pam_unix.so\n",
    "usr/lib/pam.d/polkit-1": STACK,
    "lib/x86_64-linux-gnu/security/pam_pkcs11.so": "",
    "usr/lib/x86_64-linux-gnu/opensc-pkcs11.so": "",
    "usr/lib/secure-remote-access/sra-announce": "",
    "usr/lib/secure-remote-access/sra-opensc.so": "",
}


def make_machine(root: Path) -> Path:
    """A machine with some services, in a folder."""
    for name, text in MACHINE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def make_card(folder: Path) -> Path:
    """The certificate of a card."""
    return card_file(folder, datetime.now(UTC))


def run(root: Path, *arguments: str) -> int:
    """The exit status of ``sra`` on that machine."""
    return status(app, [*arguments, "--root", str(root)])


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of the machine, but the product's own and locks."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(root / "etc/sra")]
    return {str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) for path in files}


def states(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What ``sra pam status`` says."""
    capsys.readouterr()
    assert run(root, "pam", "status", "--json") == 0
    return dict(json.loads(capsys.readouterr().out))
