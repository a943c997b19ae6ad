"""Strangers on the network and on the remote itself say what they like: they get nothing, and nobody is disturbed."""

import json
import time
from collections.abc import Iterator

import pytest

from lab.hosts import CHECKOUT, Host
from lab.processes import LabError, Process
from lab.product import LOCAL_PORT, PORT, PYTHON, World
from tests.system.opensc import sign, verify
from tests.system.parts import ReaderWatch, watching

STRANGER = [str(PYTHON), "-m", "tests.system.stranger"]
AS_DRIVER = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as driver:
    driver.connect(sys.argv[1])
    driver.sendall(bytes.fromhex(sys.argv[2]))
    print(driver.recv(100).hex())
    while driver.recv(100):
        pass
"""


@pytest.fixture(scope="module", autouse=True)
def ann(world: World) -> Iterator[Process]:
    """Her card is in the first reader all the time."""
    world.add_person("ann")
    with world.inserted("ann") as connection:
        yield connection


@pytest.fixture
def watch(world: World, ann: Process) -> Iterator[ReaderWatch]:
    assert ann.is_running
    with watching(world.remote) as watch:
        watch.wait_inserted(1)
        yield watch


def works(world: World) -> bool:
    sign(world.remote, "9A", "ECDSA-SHA256", card="ann")
    return verify(world.remote, "9A", "sha256", card="ann")


def undisturbed(world: World, ann: Process, watch: ReaderWatch) -> bool:
    return works(world) and watch.told("removed from") == 0 and ann.output.count("is inserted") == 1


def every_way(host: Host, address: str, port: int, world: World) -> dict[str, dict[str, object]]:
    """What a stranger on the host gets for everything, while the card is used."""
    stranger = host.start([*STRANGER, address, str(port)], folder=CHECKOUT)
    uses = 0
    while stranger.is_running:
        assert works(world)
        uses += 1
    assert uses > 3
    (line,) = [line for line in stranger.output.splitlines() if line.startswith("{")]
    outcomes: dict[str, dict[str, object]] = json.loads(line)
    return outcomes


def test_port_4116_says_nothing_to_strangers_and_does_not_wait_for_them(
    world: World, ann: Process, watch: ReaderWatch
) -> None:
    outcomes = every_way(world.admin, world.remote.address, PORT, world)
    told = outcomes.pop("a certificate that is none")
    assert b"certificate" in bytes.fromhex(str(told["received"]))
    assert {name: found["received"] for name, found in outcomes.items() if found["received"] != ""} == {}
    assert {
        name: found for name, found in outcomes.items() if not found["closed"] or float(str(found["seconds"])) > 6.5
    } == {}
    assert undisturbed(world, ann, watch)


def test_port_4117_says_nothing_without_the_secret(world: World, ann: Process, watch: ReaderWatch) -> None:
    outcomes = every_way(world.remote, "127.0.0.1", LOCAL_PORT, world)
    assert {name: found["received"] for name, found in outcomes.items() if found["received"] != ""} == {}
    assert {
        name: found for name, found in outcomes.items() if not found["closed"] or float(str(found["seconds"])) > 6.5
    } == {}
    assert undisturbed(world, ann, watch)


def test_port_4117_is_not_on_the_network(world: World) -> None:
    for address in (world.remote.address, world.remote.address6):
        with pytest.raises(LabError, match="ConnectionRefusedError"):
            world.admin.run([*STRANGER, address, str(LOCAL_PORT)], folder=CHECKOUT)


def test_a_user_of_the_remote_reaches_neither_the_secret_nor_the_readers_socket(
    world: World, ann: Process, watch: ReaderWatch
) -> None:
    for path in ("/run/sra/local-secret", "/etc/sra/identity/key.pem", "/var/log/sra/audit.jsonl"):
        assert "Permission denied" in world.remote.run(["cat", path], user="ann", check=False).stderr
    knock = [str(PYTHON), "-c", AS_DRIVER, "/run/sra/readers/0", "02 00000000"]
    tried = world.remote.run(knock, user="ann", check=False)
    assert "PermissionError" in tried.stderr
    assert undisturbed(world, ann, watch)


@pytest.mark.parametrize("said", ["ff" * 50, "04 ffffffff", "81 00000000", "02 00000001 00", "04"])
def test_whoever_takes_the_drivers_place_and_talks_nonsense_holds_up_one_reader_for_a_moment(
    world: World, ann: Process, said: str
) -> None:
    knock = [str(PYTHON), "-c", AS_DRIVER, "/run/sra/readers/0", said.replace(" ", "")]
    tried = world.remote.start(knock)
    tried.wait_for("01")
    tried.wait(10)
    assert ann.is_running
    assert works_soon(world)
    assert ann.output.count("is inserted") == 1


def works_soon(world: World) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            return works(world)
        except LabError:
            continue
    return False


def test_a_flood_from_one_address_is_held_back_and_others_get_in(
    world: World, ann: Process, watch: ReaderWatch
) -> None:
    world.add_person("bob")
    flood = [*STRANGER, world.remote.address, str(PORT), "flood", "100"]
    assert int(world.admin.run(flood, folder=CHECKOUT).stdout) <= 20
    assert f"{world.admin.address}: too many connections" in world.service.process.output
    assert undisturbed(world, ann, watch)
    with world.inserted("bob"):  # by the other address
        assert works(world)
