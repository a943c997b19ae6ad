"""Every process is killed in turn, at rest and in the middle of a signature.

The reader is empty at once, a program gets an error instead of hanging, nobody else's session is hurt, and what can
come back comes back by itself.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.hosts import CHECKOUT, two_hosts
from lab.processes import Process, wait_until
from lab.product import World, remote_at_work, start_remote
from tests.system.opensc import sign, verify
from tests.system.parts import (
    ReaderWatch,
    find,
    frozen,
    kill,
    logging_in,
    processes,
    signing,
    succeeded,
    watching,
)

KEYS = ["9A=P256", "9E=P256"]
SLOTS = ("--slots", "9A,9E")


@pytest.fixture(scope="module")
def place() -> Iterator[World]:
    with two_hosts() as (admin, remote):
        world = remote_at_work(admin, remote, log_level="traffic")
        for name in ("ann", "bob"):
            world.add_person(name, KEYS)
        yield world


@pytest.fixture
def world(place: World) -> Iterator[World]:
    """The two hosts, where the remote's side may have to be started for this test again."""
    if place.service.process.is_running:
        yield place
        return
    with_service = World(place.admin, place.remote, start_remote(place.remote, log_level="traffic"))
    yield with_service
    with_service.service.process.terminate()
    with_service.service.process.wait()


@pytest.fixture
def ann(world: World) -> Iterator[Process]:
    """In the first reader."""
    with world.inserted("ann", *SLOTS) as connection:
        yield connection


@pytest.fixture
def bob(world: World, ann: Process) -> Iterator[Process]:
    """In the second reader."""
    assert ann.is_running
    with world.inserted("bob", *SLOTS) as connection:
        yield connection


@pytest.fixture
def watch(world: World, ann: Process, bob: Process) -> Iterator[ReaderWatch]:
    """Both cards are in when it begins to watch."""
    assert ann.is_running
    assert bob.is_running
    with watching(world.remote) as watch:
        for reader in (0, 1):
            watch.wait_inserted(1, reader)
        yield watch


def works(world: World, name: str) -> bool:
    sign(world.remote, "9A", "ECDSA-SHA256", card=name)
    return verify(world.remote, "9A", "sha256", card=name)


@contextmanager
def moment(world: World, ann: Process, when: str) -> Iterator[None]:
    """At rest, or while a program waits for Ann, who does not answer; it gets an error then."""
    if when == "at rest":
        yield
        return
    with frozen(ann):
        program = signing(world) if when == "in a signature" else logging_in(world)
        yield
        assert not succeeded(program), program.output


WHEN = pytest.mark.parametrize("when", ["at rest", "in a signature", "in a login"])


@WHEN
def test_sra_connect(world: World, ann: Process, bob: Process, watch: ReaderWatch, when: str) -> None:
    with moment(world, ann, when):
        kill(ann.pid)
        watch.wait_removed()
    assert works(world, "bob")
    assert (watch.told("inserted in", 0), watch.told("removed from", 1)) == (1, 0)
    assert bob.output.count("is inserted") == 1


@WHEN
def test_srad(world: World, ann: Process, bob: Process, watch: ReaderWatch, when: str) -> None:
    with moment(world, ann, when):
        kill(find(world, "srad"))
        watch.wait_removed(0)
        watch.wait_removed(1)
    for reader in (0, 1):
        watch.wait_inserted(2, reader)
    for name, connection in {"ann": ann, "bob": bob}.items():
        assert works(world, name)
        assert "Trying again in" in connection.output


@WHEN
def test_a_virtual_card(world: World, ann: Process, bob: Process, watch: ReaderWatch, when: str) -> None:
    with moment(world, ann, when):
        kill(find(world, "sra-card 0"))
        watch.wait_removed()
    watch.wait_inserted(2)
    assert works(world, "ann")
    assert works(world, "bob")
    assert "The remote ejected the card: The remote's virtual card process ended." in ann.output
    assert (watch.told("removed from", 1), bob.output.count("is inserted")) == (0, 1)


@WHEN
def test_pcscd(world: World, ann: Process, bob: Process, when: str) -> None:
    with moment(world, ann, when):
        world.remote.run(["sh", "-c", "kill -9 $(pidof pcscd); while pidof pcscd; do sleep 0.01; done"])
    world.remote.run(["rm", "-f", "/run/pcscd/pcscd.comm", "/run/pcscd/pcscd.pid"])
    world.remote.pcscd()
    for name, connection in {"ann": ann, "bob": bob}.items():
        assert works(world, name)
        assert connection.output.count("is inserted") == 1


@WHEN
def test_sra_remote_run(world: World, ann: Process, bob: Process, watch: ReaderWatch, when: str) -> None:
    with moment(world, ann, when):
        kill(world.service.process.pid)
        watch.wait_removed(0)
        watch.wait_removed(1)
    wait_until(lambda: not parts_running(world), "the processes that it started to end", 2)
    again = start_remote(world.remote, log_level="traffic")
    for reader in (0, 1):
        watch.wait_inserted(2, reader)
    for name, connection in {"ann": ann, "bob": bob}.items():
        assert works(world, name)
        assert connection.is_running
    again.process.terminate()
    again.process.wait()


OURS = re.compile(r"\bimport sra\.|/bin/srad?( |$)|/sra-(card|screen|virtual-screen)( |$)")
"""A program of the product, wherever the checkout is."""


def parts_running(world: World) -> list[str]:
    """The product's processes that run on the remote."""
    return [command for command in processes(world.remote) if OURS.search(command)]


def test_nothing_is_left_when_all_has_ended(world: World) -> None:
    with world.inserted("ann", *SLOTS):
        assert world.remote.run(["ls", "/run/sra/readers"]).stdout == "0\n"
    world.service.process.terminate()
    world.service.process.wait()
    assert parts_running(world) == []
    assert [command for command in processes(world.admin) if OURS.search(command)] == []
    assert world.remote.run(["find", "/run/sra", "-type", "s"]).stdout == ""
    listening = world.remote.run(["ss", "--listening", "--tcp", "--numeric", "--no-header"]).stdout
    assert [port for port in ("4116", "4117") if f":{port}" in listening] == []
    left = world.remote.run(["find", "/tmp", "/dev/shm", "-mindepth", "1", "-path", CHECKOUT, "-prune", "-o", "-print"])
    assert [path for path in left.stdout.split() if not CHECKOUT.is_relative_to(path)] == []
