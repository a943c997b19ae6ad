"""After logins with the PIN pad the PIN is nowhere on the remote; on the admin's side only where it was typed.

Searched are the memory of every process, arguments and environments, every file written since, all bytes between
pcscd's driver and the virtual card, and every packet of the remote's network; what goes by ports 4116 and 4117 has to
be TLS and nothing else.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.desktop import Desktop
from lab.hosts import CHECKOUT, Host, two_hosts
from lab.processes import Process
from lab.product import LOCAL_PORT, PORT, PYTHON, SRA, World, make_card, pair, start_remote
from tests.system.packets import APPLICATION_DATA, record_types, streams
from tests.system.pin_pad import ACCOUNT, ASKS, Pad, at_pad
from tests.system.secrets_search import forms, in_files, in_memory, in_words, name_of, processes_of

PIN = "90718263"
WANTED = forms(PIN)
TAP = "/run/tap"
PACKETS = f"{TAP}/packets"
PAD_COMMAND = bytes.fromhex("FFC20106")
MUCH = 20_000_000
"""Bytes of memory: less would mean that the search has not looked at the processes."""
STAY = "echo logged in; exec sleep 600"
KNOWS_IT = f"import time; pin = {PIN[::-1]!r}[::-1]; print('ready', flush=True); time.sleep(600)"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A remote whose pcscd reaches the virtual card through a tap, and whose network is listened to."""
    with two_hosts() as (admin, remote):
        remote.run(["install", "-d", "--mode=0755", f"{TAP}/readers"])
        remote.start([PYTHON, "-m", "tests.system.packets", PACKETS], folder=CHECKOUT).wait_for("listening")
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


@contextmanager
def three_logins(world: World, pad: Pad) -> Iterator[None]:
    """By su, sudo and the login window; the PIN is typed at the admin's terminal for each."""
    by_su = logged_in(world, "bob", ["su", ACCOUNT, "--command", STAY])
    pad.gives(ASKS, PIN)
    by_su.wait_for("logged in")
    by_sudo = logged_in(world, ACCOUNT, ["sudo", "--stdin", "sh", "-c", STAY])
    pad.gives(ASKS, PIN)
    by_sudo.wait_for("logged in")
    desktop = Desktop(world.remote)
    desktop.start()
    desktop.wait_for_greeter()
    desktop.press("Return", "Return")
    pad.gives(ASKS, PIN)
    desktop.wait_for_session(ACCOUNT)
    yield
    for process in (by_su, by_sudo):
        process.kill()
    desktop.stop()


def bytes_of(host: Host, path: str) -> bytes:
    return Path(f"/proc/{host.first_process}/root{path}").read_bytes()


def has(said: bytes) -> bool:
    return any(each in said for each in WANTED)


def search_processes(remote: Host) -> int:
    """How many bytes of memory were searched, in vain."""
    looked = 0
    for pid in processes_of(remote):
        found, size = in_memory(pid, WANTED)
        assert not found, name_of(pid)
        assert not in_words(pid, WANTED)
        looked += size
    names = " ".join(name_of(pid) for pid in processes_of(remote))
    for program in ("sra.programs.srad", "--reader 0", "pcscd", "su ann", "sudo", "lightdm", "Xvfb", "openbox"):
        assert program in names
    assert looked > MUCH
    return looked


def search_packets(remote: Host) -> int:
    """How many bytes went by the network, all in ciphertext as far as they go by the product's ports."""
    seen = bytes_of(remote, PACKETS)
    assert not has(seen)
    found = streams(seen)
    for port in (PORT, LOCAL_PORT):
        ours = [stream for flow, stream in found.items() if port in (flow.port, flow.source_port) and stream]
        assert not any(has(stream) for stream in ours)
        types = [record_types(stream) for stream in ours]
        assert sum(kinds.count(APPLICATION_DATA) for kinds in types) > 10, f"the port {port} was listened to"
    return len(seen)


def search_admin(admin: Host, since: float) -> None:
    """There it is in memory, where it was typed, and nowhere else."""
    control = admin.start([PYTHON, "-c", KNOWS_IT])
    control.wait_for("ready")
    assert in_memory(control.pid, WANTED)[0], "the search finds what is there"
    control.kill()
    knowing = {name_of(pid) for pid in processes_of(admin) if in_memory(pid, WANTED)[0]}
    assert {name.split(" ")[0].rpartition("/")[2] for name in knowing} <= {"python", "script", "sh"}, knowing
    assert not any(in_words(pid, WANTED) for pid in processes_of(admin))
    assert in_files(admin, WANTED, since)[0] == []


def test_the_pin_is_nowhere_on_the_remote(world: World) -> None:
    since = time.time() - 1
    with at_pad(world, pin=PIN) as pad, three_logins(world, pad):
        looked = search_processes(world.remote)
        found_files, count = in_files(world.remote, WANTED, since)
        assert found_files == []
        assert count > 3
        said = bytes_of(world.remote, f"{TAP}/bytes")
        assert PAD_COMMAND in said
        assert not has(said)
        assert not has(world.service.process.output.encode())
        sniffed = search_packets(world.remote)
        print(f"{looked / 1e6:.0f} MB of memory, {count} files, {len(said):,} bytes to the card")
        print(f"and {sniffed:,} bytes of the network were searched")
        search_admin(world.admin, since)
        assert PIN not in pad.output


def locked_by(host: Host, command: str) -> str:
    """How much memory a program may not be swapped out of (VmLck, proc(5))."""
    (pid,) = [pid for pid in processes_of(host) if command in name_of(pid)]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("VmLck:"))


def test_a_pin_that_is_kept_is_locked_against_swapping(world: World) -> None:
    """Its page is, and without ``--pin-cache`` there is none."""
    for options, locked in (((), "0 kB"), (("--pin-cache", "60"), "4 kB")):
        with at_pad(world, *options, pin=PIN):
            assert locked_by(world.admin, f"{PYTHON} {SRA} connect") == locked
