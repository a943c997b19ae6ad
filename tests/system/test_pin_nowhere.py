"""After logins with the PIN pad the PIN is nowhere on the remote; on the admin's side only where it was typed.

Searched are the memory of every process, arguments and environments, every file written since, and all bytes between
pcscd's driver and the virtual card.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.desktop import Desktop
from lab.hosts import CHECKOUT, two_hosts
from lab.processes import Process
from lab.product import PYTHON, SRA, World, make_card, pair, start_remote
from tests.system.pin_pad import ACCOUNT, ASKS, at_pad
from tests.system.secrets_search import forms, in_files, in_memory, in_words, name_of, processes_of

PIN = "90718263"
TAP = "/run/tap"
PAD_COMMAND = bytes.fromhex("FFC20106")
MUCH = 20_000_000
"""Bytes of memory: less would mean that the search has not looked at the processes."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A remote whose pcscd reaches the virtual card through a tap."""
    with two_hosts() as (admin, remote):
        remote.run(["install", "-d", "--mode=0755", f"{TAP}/readers"])
        service = start_remote(remote, log_level="traffic")
        sockets = ["/run/sra/readers/0", f"{TAP}/readers/0"]
        remote.start([PYTHON, "-m", "tests.system.tap", *sockets, f"{TAP}/bytes"], folder=CHECKOUT).wait_for("tapping")
        remote.pcscd(runtime=Path(TAP))
        world = World(admin, remote, service)
        certificate = make_card(admin, ACCOUNT, ["9A=RSA2048"], pin=PIN)
        remote.add_account(ACCOUNT, "a password that no test uses")
        remote.add_account("bob", "another one")
        pair(remote, ACCOUNT, certificate)
        remote.run([SRA, "pam", "enable", "su", "sudo", "lightdm"])
        remote.write("/etc/sudoers.d/lab", f"{ACCOUNT} ALL=(ALL) ALL\n", mode=0o440)
        yield world


def logged_in(world: World, user: str, command: list[str]) -> Process:
    """Somebody who logs in and stays; the process of the login keeps running beside."""
    return world.remote.start(["sh", "-c", 'exec "$@" 2>&1', "sh", *command], user=user)


def test_the_pin_is_nowhere_on_the_remote(world: World) -> None:
    since = time.time() - 1
    wanted = forms(PIN)
    stay = "echo logged in; exec sleep 600"
    with at_pad(world, "--pin-cache", "60", pin=PIN) as pad:
        by_su = logged_in(world, "bob", ["su", ACCOUNT, "--command", stay])
        pad.says(f"{ASKS}. Give it?", "y")
        by_su.wait_for("logged in")
        by_sudo = logged_in(world, ACCOUNT, ["sudo", "--stdin", "sh", "-c", stay])
        pad.says(f"{ASKS}. Give it?", "y")
        by_sudo.wait_for("logged in")
        desktop = Desktop(world.remote)
        desktop.start()
        desktop.wait_for_greeter()
        desktop.press("Return", "Return")
        pad.says(f"{ASKS}. Give it?", "y")
        desktop.wait_for_session(ACCOUNT)

        looked = 0
        for pid in processes_of(world.remote):
            found, size = in_memory(pid, wanted)
            assert not found, name_of(pid)
            assert not in_words(pid, wanted)
            looked += size
        names = " ".join(name_of(pid) for pid in processes_of(world.remote))
        assert looked > MUCH
        for program in ("sra.cli.srad", "--reader 0", "pcscd", "su ann", "sudo", "lightdm", "Xvfb", "openbox"):
            assert program in names
        found_files, count = in_files(world.remote, wanted, since)
        assert found_files == []
        assert count > 3
        tapped = world.remote.run(["od", "-An", "-v", "-tx1", f"{TAP}/bytes"]).stdout
        said = bytes.fromhex("".join(tapped.split()))
        assert PAD_COMMAND in said
        assert not any(each in said for each in wanted)
        assert not any(each.decode("latin-1") in world.service.process.output for each in wanted)
        print(f"{looked / 1e6:.0f} MB of memory, {count} files and {len(said):,} bytes to the card were searched")

        knowing = [name_of(pid) for pid in processes_of(world.admin) if in_memory(pid, wanted)[0]]
        assert knowing, "the search finds what is there"
        assert {name.split(" ")[0].rpartition("/")[2].rpartition(" ")[2] for name in knowing} <= {
            "python",
            "script",
            "sh",
        }
        assert any(name.startswith(str(PYTHON)) for name in knowing)
        assert not any(in_words(pid, wanted) for pid in processes_of(world.admin))
        assert in_files(world.admin, wanted, since)[0] == []
        assert PIN not in pad.output
        for process in (by_su, by_sudo):
            process.kill()
        desktop.stop()
