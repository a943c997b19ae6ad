"""The cable between the machines is cut: both sides notice in time, and find each other again when it is mended."""

import time
from collections.abc import Iterator

import pytest

from lab.hosts import two_hosts
from lab.processes import wait_until
from lab.product import World, cards_in_readers, remote_at_work
from tests.system.opensc import sign, verify
from tests.system.parts import signing, succeeded, watching

PROMISED = 10.0
"""Seconds in which a dead link is found, whatever was going on."""
KEYS = ["9A=P256", "9E=P256"]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with two_hosts() as (admin, remote):
        world = remote_at_work(admin, remote, log_level="traffic")
        for name in ("ann", "bob"):
            world.add_person(name, KEYS)
        yield world


def test_a_cut_empties_the_readers_and_mending_it_fills_them_again(world: World) -> None:
    slots = ("--slots", "9A,9E")
    with world.inserted("ann", *slots) as ann, world.inserted("bob", *slots) as bob, watching(world.remote) as watch:
        watch.wait_inserted(1, 0)
        watch.wait_inserted(1, 1)
        world.admin.cable(up=False)
        cut = time.monotonic()
        program = signing(world)
        for reader in (0, 1):
            watch.wait_removed(reader, within=cut + PROMISED - time.monotonic())
        assert not succeeded(program)
        assert cards_in_readers(world.remote) == ["No", "No"]
        for connection in (ann, bob):
            connection.wait_for("The link is dead: nothing was heard for", cut + PROMISED - time.monotonic())
            assert connection.is_running
        world.admin.cable(up=True)
        for reader in (0, 1):
            watch.wait_inserted(2, reader, within=20)
        for name in ("ann", "bob"):
            sign(world.remote, "9A", "ECDSA-SHA256", card=name)
            assert verify(world.remote, "9A", "sha256", card=name)


def test_a_short_cut_is_not_noticed(world: World) -> None:
    with world.inserted("ann", "--slots", "9A,9E") as ann, watching(world.remote) as watch:
        watch.wait_inserted(1)
        world.admin.cable(up=False)
        program = signing(world)
        world.admin.cable(up=True)
        assert succeeded(program)
        assert watch.told("removed from") == 0
        assert ann.output.count("is inserted") == 1


def test_without_reconnecting_a_cut_ends_the_command(world: World) -> None:
    with world.inserted("ann", "--no-reconnect", "--slots", "9A,9E") as ann:
        world.remote.cable(up=False)
        cut = time.monotonic()
        assert ann.wait(PROMISED) == 5
        assert "sra: error: The link is dead: nothing was heard for 8 s." in ann.output
        wait = cut + PROMISED - time.monotonic()
        wait_until(lambda: "Yes" not in cards_in_readers(world.remote), "the remote's reader to be empty", wait)
        world.remote.cable(up=True)
