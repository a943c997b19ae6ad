"""No user runs code as root by the environment of su, sudo, pkexec or the locked screen (docs/logins.md)."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.hosts import CHECKOUT, two_hosts
from lab.processes import wait_until
from lab.product import PYTHON, SRA, World, remote_at_work
from tests.system import hostile_environment as hostile

OURS = "/etc/pam_pkcs11/sra/pam_pkcs11.conf"
MULTIARCH = sysconfig.get_config_var("MULTIARCH")
OPENSC = f"/usr/lib/{MULTIARCH}/opensc-pkcs11.so"
LIBRARIES = [f"/lib/{MULTIARCH}/security/pam_pkcs11.so", OPENSC, f"/usr/lib/{MULTIARCH}/libpcsclite.so.1"]
DISPLAY = ":77"
SERVICES = ("su", "sudo", "polkit-1", "xscreensaver")
COMMANDS = {
    "su": ["/usr/bin/su", "ann", "-c", "true"],
    "sudo": ["/usr/bin/sudo", "-S", "true"],
    "pkexec": ["/usr/bin/pkexec", "--user", "ann", "/usr/bin/true"],
    "polkit's helper": ["/usr/lib/polkit-1/polkit-agent-helper-1", "ann"],
    "xscreensaver's helper": ["/usr/libexec/xscreensaver/xscreensaver-auth"],
}
OPEN_SUDO = "Defaults !env_reset, !lecture\nbob ALL=(ALL) ALL\n"


class Attack(NamedTuple):
    """What came of it: which code ran as whom, which files are another's than the attacker's, how many variables."""

    ran: list[str]
    made: list[str]
    names: int
    said: list[str]

    @property
    def by_root(self) -> list[str]:
        return [name for name in self.ran if name.startswith("0-")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    library = tmp_path_factory.mktemp("hostile") / "evil.so"
    source = CHECKOUT / "tests" / "system" / "hostile_library.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    with two_hosts() as (admin, remote):
        world = remote_at_work(admin, remote)
        world.add_person("ann")
        world.remote.add_account("bob", "another password")
        remote.write("/etc/sudoers.d/bob", "Defaults !lecture\nbob ALL=(ALL) ALL\n", mode=0o440)
        remote.write("/etc/sudoers.d/ann", "Defaults !lecture, timestamp_timeout=0\nann ALL=(ALL) ALL\n", mode=0o440)
        remote.run([SRA, "pam", "enable", *SERVICES])
        remote.run(["install", "-d", "--owner=bob", str(hostile.FOLDER), "/var/lib/hostile"])
        put_library(world, library)
        display = remote.start(["Xvfb", DISPLAY, "-ac", "-nolisten", "tcp"])
        wait_until(lambda: remote.run(["xdpyinfo", "-display", DISPLAY], check=False).returncode == 0, "a display", 10)
        yield world
        display.kill()


def put_library(world: World, library: Path) -> None:
    remote = Path(f"/proc/{world.remote.first_process}/root/var/lib/hostile/evil.so")
    remote.write_bytes(library.read_bytes())
    remote.chmod(0o755)


def attack(world: World, *programs: str) -> Attack:
    """Have bob start these programs, each in every environment."""
    bob = hostile.FOLDER
    world.remote.run(["rm", "-rf", str(bob)])
    world.remote.run(["install", "-d", "--owner=bob", str(bob)])
    world.remote.run(["cp", "/var/lib/hostile/evil.so", str(hostile.LIBRARY)])
    world.remote.run(["chown", "bob", str(hostile.LIBRARY)])
    order = {"libraries": LIBRARIES, "commands": [COMMANDS[each] for each in programs], "keep": {"DISPLAY": DISPLAY}}
    script = CHECKOUT / "tests" / "system" / "hostile_environment.py"
    done = world.remote.run([PYTHON, script, json.dumps(order)], user="bob", timeout=60)
    return Attack(**json.loads(done.stdout))


def test_no_variable_has_a_users_code_run_as_root(world: World) -> None:
    found = attack(world, *COMMANDS)
    assert found.names > 100
    assert (found.by_root, found.made) == ([], [])


@pytest.mark.parametrize("program", ["su", "sudo", "pkexec"])
def test_root_makes_nothing_in_the_home_of_who_calls_it(world: World, program: str) -> None:
    """Where no variable names a folder, GLib takes the home of the caller: OpenSC loads it to talk to the desktop."""
    home = world.remote.run(["find", "/home/bob"]).stdout
    world.remote.run(["env", "--ignore-environment", *COMMANDS[program]], user="bob", check=False)
    assert world.remote.run(["find", "/home/bob"]).stdout == home


def test_the_attack_is_one_where_opensc_is_loaded_directly(world: World) -> None:
    """So that the test above is known to be able to fail."""
    ours = world.remote.read(OURS)
    module = next(line for line in ours.splitlines() if "module = /" in line)
    world.remote.write(OURS, ours.replace(module, f"module = {OPENSC};"))
    try:
        found = attack(world, "su")
        assert "0-library" in found.by_root
        assert "0-socket" in found.by_root
        said = world.remote.run([SRA, "doctor"], check=False).stdout
        assert "Any user can become root: su, su-l, sudo, polkit-1, xscreensaver loads" in said
    finally:
        world.remote.write(OURS, ours)


def test_nor_by_a_sudo_that_keeps_its_callers_environment(world: World) -> None:
    """sudo has a getenv() of its own, which looks elsewhere than the C library's."""
    world.remote.write("/etc/sudoers.d/bob", OPEN_SUDO, mode=0o440)
    found = attack(world, "sudo")
    assert (found.by_root, found.made) == ([], [])


def test_light_locker_runs_nothing_with_set_user_id(world: World) -> None:
    """It has LightDM, a daemon with an environment of its own, show the greeter: no user chooses a variable there."""
    files = world.remote.run(["dpkg", "--listfiles", "light-locker"]).stdout.splitlines()
    assert "/usr/bin/light-locker" in files
    assert world.remote.run(["find", *files, "-maxdepth", "0", "-perm", "/6000", "-type", "f"]).stdout == ""
