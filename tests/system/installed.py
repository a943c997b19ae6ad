"""The Debian package on a fresh machine with systemd, and an admin beside it."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.licenses import ISSUER, PROFILE, a_license, files_of
from lab.processes import Process
from lab.product import PIN, PYTHON, SRA
from lab.systemd import CHECKOUT, SystemdMachine, systemd_machine
from lab.systemd_root import debian_root

PACKAGE = "secure-remote-access"
DEPENDENCIES = ("python3", "libgcc-s1", "libpcsclite1", "pcscd", "ca-certificates", "coreutils", "passwd")
"""What the package depends on; a test compares."""
LOOKING = ("opensc", "opensc-pkcs11", "openssl")
"""What the tests look with."""
NOISE = (
    "/etc/.pwd.lock", "/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-",  # shadow's copies of before
    "/var/lib/systemd", "/var/log/journal", "/var/log/wtmp", "/var/log/lastlog", "/var/tmp",  # of the running system
    "/var/cache/ldconfig", "/var/log/faillog", "/var/log/btmp",
)  # fmt: skip
"""What a running system and its own programs write whoever does something with them."""
DPKG = ("/var/lib/dpkg", "/var/log/dpkg.log", "/var/log/alternatives.log", "/var/cache/debconf")
"""What dpkg writes about itself."""


@functools.cache
def package() -> Path:
    """The Debian package of this checkout, built once a session."""
    built = subprocess.run(["make", "-s", "-C", CHECKOUT, "deb"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"{built.stdout}{built.stderr}"
    return CHECKOUT / built.stdout.split()[-1]


@contextmanager
def fresh_machine() -> Iterator[SystemdMachine]:
    """A machine that has what the package needs, and not the package."""
    with systemd_machine(debian_root([*DEPENDENCIES, *LOOKING])) as machine:
        yield machine


def install(machine: SystemdMachine) -> None:
    """Install the package, as from a file; its dependencies are there, or this fails."""
    machine.copy_in(package(), "/tmp/package.deb")
    machine.run(["dpkg", "--install", "/tmp/package.deb"])


@contextmanager
def installed_machine() -> Iterator[SystemdMachine]:
    """A fresh machine with the package."""
    with fresh_machine() as machine:
        install(machine)
        yield machine


def fingerprint(machine: SystemdMachine) -> str:
    """What an admin compares."""
    return str(json.loads(machine.run(["sra", "identity", "show", "--json"]).stdout)["fingerprint"])


def give_license(machine: SystemdMachine) -> None:
    """Install a license there, and trust its issuer."""
    license_file, issuer = "/tmp/lab.mobileconfig", "/tmp/lab.pem"
    made = files_of(a_license())
    machine.write(license_file, made[PROFILE])
    machine.write(issuer, made[ISSUER])
    machine.run(["sra", "license", "install", license_file, "--issuer", issuer])


class Admin:
    """Somebody with a software card, in a folder of the outer machine and in a network of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make_card(self, name: str, *options: str) -> str:
        """Make a card; the certificate of its 9A key, in PEM."""
        self._sra(["softcard", "create", name, "--slot", "9A=P256", "--pin-fd", "0", *options], PIN)
        return self._sra(["softcard", "certificate", name, "--slot", "9A"])

    @property
    def notes(self) -> list[str]:
        """What the viewer of ``connect(..., "--screen")`` has noted, without the times."""
        path = self._folder / "notes"
        return [line.partition(" ")[2] for line in path.read_text().splitlines()] if path.exists() else []

    def connect(self, machine: SystemdMachine, card: str, *options: str) -> Process:
        """Insert the card into the machine; returns when it is in."""
        viewer = [PYTHON, "-m", "tests.small_viewer", "{socket}", self._folder / "notes"]
        words = ", ".join(f'"{word}"' for word in ("env", f"PYTHONPATH={CHECKOUT}", *viewer))
        (self._folder / "config").mkdir(exist_ok=True)
        (self._folder / "config" / "config.toml").write_text(f"viewer = [{words}]\n")
        pin = self._folder / "pin"
        pin.write_text(f"{PIN}\n")
        command = [
            str(SRA), "connect", machine.address, "--card", f"software:{card}", "--pin-fd", "3", "--yes",
            "--fingerprint", fingerprint(machine), *options, *self._places(),
        ]  # fmt: skip
        process = machine.start_outside(["sh", "-c", 'exec "$@" 3<"$0"', str(pin), *command])
        process.wait_for("The card is inserted", 30)
        return process

    def _places(self) -> list[str]:
        return ["--cards-dir", str(self._folder / "cards"), "--config-dir", str(self._folder / "config")]

    def _sra(self, words: list[str], typed: str = "") -> str:
        command = [str(SRA), *words, "--cards-dir", str(self._folder / "cards")]
        return subprocess.run(command, input=f"{typed}\n", capture_output=True, text=True, check=True).stdout


def cards_in_readers(machine: SystemdMachine, user: str = "root") -> list[str]:
    """For each reader, what OpenSC says to this user of a card in it: Yes or No."""
    lines = machine.run(["opensc-tool", "--list-readers"], user=user, check=False).stdout.splitlines()
    return [line.split()[1] for line in lines if line[:1].isdigit()]
