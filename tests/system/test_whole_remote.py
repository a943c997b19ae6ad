"""From a fresh Debian to a login at its window by a card elsewhere, and back to what it was."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lab.cable import ADMIN
from lab.desktop import COOKIE, DISPLAY, Desktop
from lab.hosts import Host
from lab.processes import wait_until
from lab.systemd import SystemdMachine, differences, systemd_machine
from lab.systemd_root import debian_root
from tests.system.installed import DEPENDENCIES, DPKG, LOOKING, NOISE, PACKAGE, Admin, give_license, install

SHARING = ("tigervnc-scraping-server", "x11-utils")
WINDOW = ("libpam-pkcs11", "lightdm", "lightdm-gtk-greeter", "openbox", "procps", "xdotool", "xvfb", *SHARING)
"""A login window, a session behind it, and somebody who types."""
SEAT = """\
[LightDM]
lock-memory=false

[Seat:*]
greeter-session=lightdm-gtk-greeter
greeter-hide-users=true
user-session=lab
"""
SIZE = "1280x800"
OF_THE_DESKTOP = (
    "/var/cache/lightdm", "/var/lib/lightdm", "/var/lib/lightdm-data", "/var/log/lightdm", "/home/ann", "/root/.cache"
)  # fmt: skip
"""What a login and a session leave on any machine; OpenSC remembers a card's file in the cache of who asked it."""


class Typed(Host):
    """The machine as ``Desktop`` wants it."""

    def __init__(self, machine: SystemdMachine) -> None:
        super().__init__("remote", "127.0.0.1", "::1")
        self._machine = machine

    def run(  # type: ignore[override]
        self, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        values = [f"{name}={value}" for name, value in (env or {}).items()]
        return self._machine.run(["env", *values, *argv], check=check)

    def write(self, path: str | Path, text: str, mode: int = 0o644, owner: str = "root") -> None:
        assert owner == "root"
        self._machine.write(str(path), text, mode)


class Window(Desktop):
    """The login window as the machine's service."""

    def __init__(self, machine: SystemdMachine) -> None:
        super().__init__(Typed(machine))
        self._machine = machine

    def prepare(self) -> None:
        """Have it show what the tests know; which X server it starts is the product's to say."""
        self._write_files()
        self._machine.write("/etc/lightdm/lightdm.conf", SEAT)


def listening_ports(machine: SystemdMachine) -> set[int]:
    lines = machine.run(["ss", "--no-header", "--listening", "--tcp", "--numeric"]).stdout.splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines}


def mounts_of(machine: SystemdMachine, program: str) -> str:
    """The mount namespace of the oldest process with this name."""
    pid = machine.run(["pgrep", "--oldest", "--exact", program]).stdout.strip()
    return machine.run(["readlink", f"/proc/{pid}/ns/mnt"]).stdout


@pytest.mark.timeout(600)
def test_installed_activated_used_at_the_login_window_and_gone(tmp_path: Path) -> None:
    admin = Admin(tmp_path)
    certificate = admin.make_card("ann")
    with systemd_machine(debian_root([*DEPENDENCIES, *LOOKING, *WINDOW])) as machine:
        window = Window(machine)
        window.prepare()
        machine.run(["useradd", "--create-home", "--shell", "/bin/bash", "ann"])
        before = machine.tree()

        install(machine)
        machine.run(["secure_remote_access.sh", "-a", "-g"])
        give_license(machine)
        machine.write("/tmp/ann.pem", certificate)
        machine.run(["sra", "pair", "ann", "--certificate", "/tmp/ann.pem"])
        machine.run(["sra", "pam", "enable", "lightdm"])

        machine.write("/etc/sra/srad.toml", f'[screen]\nvirtual_size = "{SIZE}"\n')
        machine.run(["secure_remote_access.sh", "-a", "-s", "--virtual-screen"])
        window.wait_for_greeter()
        connection = admin.connect(machine, "ann", "--screen")
        wait_until(lambda: admin.notes, "the login window in the admin's viewer", 20)
        assert admin.notes[0].startswith(f"shown {SIZE}"), connection.output
        window.press("Return", "Return")
        window.wait_for_session("ann")
        connection.wait_for("PIN asked on the PIN pad: right.")
        assert listening_ports(machine) == {4116, 4117}
        assert mounts_of(machine, "openbox") == mounts_of(machine, "systemd"), "a session is in no sandbox of ours"
        assert f" authenticated account=ann address={ADMIN} " in machine.run(["sra", "audit", "show"]).stdout
        window.log_out("ann")
        window.wait_for_greeter()
        connection.terminate()
        connection.wait()

        machine.run(["secure_remote_access.sh", "-d"])
        machine.run(["dpkg", "--purge", PACKAGE])
        assert differences(before, machine.tree(), (*NOISE, *DPKG, *OF_THE_DESKTOP)) == []
        assert not machine.path(COOKIE).exists(), DISPLAY
