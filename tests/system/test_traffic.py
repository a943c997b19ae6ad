"""Only PIN checks and key uses cross the network: the messages of a session are counted where they arrive."""

import re
from collections.abc import Callable, Iterator

import pytest

from lab.hosts import Host, two_hosts
from lab.product import World, remote_at_work
from tests.system.opensc import pkcs11_tool, sign

ALIVE = {"Ping", "Pong"}
FRAME = re.compile(r"sra\.traffic: (?:session=[0-9a-f]{8} )?(?P<peer>\S+): [<>] \d+ (?P<message>\w+)")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with two_hosts() as (admin, remote):
        world = remote_at_work(admin, remote, log_level="traffic")
        remote.configure_pam_pkcs11("desk", "ann", world.add_person("ann", ["9A=RSA2048", "9C=P256", "9D=RSA2048"]))
        with world.inserted("ann", "--slots", "9A,9C,9D"):
            yield world


def messages(world: World, work: Callable[[], object]) -> list[str]:
    """What went between the two machines while the work was done, in order."""
    before = len(world.service.process.output)
    work()
    lines = FRAME.finditer(world.service.process.output[before:])
    here = {world.admin.address, world.admin.address6}
    return [line["message"] for line in lines if line["peer"] in here and line["message"] not in ALIVE]


USE = ["KeyRequest", "KeyReply"]
PIN = ["PinRequest", "PinReply"]


def log_in(remote: Host) -> None:
    remote.run(["pamtester", "desk", "ann", "authenticate"])


def test_listing_all_objects_sends_nothing(world: World) -> None:
    assert messages(world, lambda: pkcs11_tool(world.remote, "--list-objects")) == []
    assert messages(world, lambda: pkcs11_tool(world.remote, "--read-object", "--type", "cert", "--id", "01")) == []


def test_random_numbers_send_nothing(world: World) -> None:
    assert messages(world, lambda: pkcs11_tool(world.remote, "--generate-random", "4096")) == []


def test_a_login_and_a_signature_are_a_pin_check_and_a_key_use(world: World) -> None:
    assert messages(world, lambda: sign(world.remote, "9A", "SHA256-RSA-PKCS")) == PIN + USE


def test_a_key_that_wants_the_pin_each_time_costs_a_second_check(world: World) -> None:
    assert messages(world, lambda: sign(world.remote, "9C", "ECDSA-SHA256")) == PIN + PIN + USE


def test_a_login_through_pam_is_a_pin_check_and_a_key_use(world: World) -> None:
    assert messages(world, lambda: log_in(world.remote)) == PIN + USE


def test_a_whole_session_has_no_other_messages(world: World) -> None:
    world.add_person("bob")

    def session() -> None:
        with world.inserted("bob"):
            pass
        world.service.process.wait_for(": disconnected")

    expected = ["Hello", "Challenge", "Proof", "Welcome", "InsertCard", "CardInserted", "EjectCard", "EjectCard"]
    assert messages(world, session) == [*expected, "Goodbye"]
