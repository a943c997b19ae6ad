"""Several admins at one remote: a reader each, signatures never mixed, and a clear word to the one too many."""

from collections.abc import Iterator

import pytest

from lab import product
from lab.cards import MODULE
from lab.processes import Process
from lab.product import World, cards_in_readers
from tests.system.opensc import IDS, WORK, openssl, pkcs11_tool, read_public_key, sign, verify

ROUNDS = 8
PEOPLE = {"ann": ["9A=P256"], "bob": ["9A=P256"], "cid": ["9A=P256"]}

# OpenSC asks each reader for its PIN pad when it starts, and gets no answer while another program uses that reader.
SIGN_OFTEN = f"""
for number in $(seq {ROUNDS}); do
    echo "$1 $number" >$1-$number.text
    tries=0
    until pkcs11-tool --module {MODULE} --token-label $1 --login --sign --id {IDS["9A"]} --mechanism ECDSA-SHA256 \
        --signature-format openssl --input-file $1-$number.text --output-file $1-$number.signature; do
        tries=$((tries + 1))
        [ $tries -lt 10 ] || exit 1
    done
done
"""


@pytest.fixture(scope="module", autouse=True)
def _people(world: World) -> None:
    for name, keys in PEOPLE.items():
        world.add_person(name, keys)


@pytest.fixture
def both(world: World) -> Iterator[dict[str, Process]]:
    """Two cards are in, of two admins."""
    with world.inserted("ann") as ann, world.inserted("bob") as bob:
        yield {"ann": ann, "bob": bob}


def is_by(world: World, public_key: str, name: str, number: int) -> bool:
    given = ["-verify", public_key, "-signature", f"{name}-{number}.signature", f"{name}-{number}.text"]
    done = world.remote.run(["openssl", "dgst", "-sha256", *given], folder=WORK, check=False)
    return done.stdout == "Verified OK\n"


def test_each_has_a_reader_of_its_own(world: World, both: dict[str, Process]) -> None:
    assert cards_in_readers(world.remote) == ["Yes", "Yes"]
    readers = {connection.output.partition("“")[2].partition("”")[0] for connection in both.values()}
    assert readers == {"Secure Remote Access 00 00", "Secure Remote Access 01 00"}
    listed = pkcs11_tool(world.remote, "--list-slots").stdout
    assert [name for name in both if f": {name}\n" not in listed] == []


def test_signatures_made_at_the_same_time_are_never_mixed(world: World, both: dict[str, Process]) -> None:
    world.remote.run(["mkdir", "-p", WORK])
    working = [world.remote.start(["sh", "-c", SIGN_OFTEN, "sh", name], folder=WORK) for name in both]
    for program in working:
        assert program.wait(60) == 0, program.output
    for name, other in (("ann", "bob"), ("bob", "ann")):
        key = read_public_key(world.remote, "9A", name)
        openssl(world.remote, "pkey", "-pubin", "-in", key, "-out", f"{name}.pub")
        assert all(is_by(world, f"{name}.pub", name, number) for number in range(1, ROUNDS + 1))
        assert not any(is_by(world, f"{name}.pub", other, number) for number in range(1, ROUNDS + 1))
        assert both[name].output.count("Key 9A signed") == ROUNDS


def test_a_third_card_is_refused_until_a_reader_is_free(world: World, both: dict[str, Process]) -> None:
    third = product.connect(world.admin, world.service, "software:cid")
    assert third.wait() == 3
    assert "All 2 readers of the remote have a card in: try again when one is free." in third.output
    assert [connection.output.count("is inserted") for connection in both.values()] == [1, 1]
    both["ann"].terminate()
    both["ann"].wait()
    with world.inserted("cid"):
        for name in ("bob", "cid"):
            sign(world.remote, "9A", "ECDSA-SHA256", card=name)
            assert verify(world.remote, "9A", "sha256", card=name)


def test_one_leaves_and_the_other_does_not_notice(world: World, both: dict[str, Process]) -> None:
    both["ann"].kill()
    sign(world.remote, "9A", "ECDSA-SHA256", card="bob")
    assert verify(world.remote, "9A", "sha256", card="bob")
    assert both["bob"].output.count("is inserted") == 1


def test_the_same_card_again_takes_the_place_of_the_first(world: World, both: dict[str, Process]) -> None:
    with world.inserted("ann") as again:
        assert both["ann"].wait(10) == 5
        assert "The same card was connected again, from elsewhere or anew." in both["ann"].output
        sign(world.remote, "9A", "ECDSA-SHA256", card="ann")
        assert "Key 9A signed" in again.output
        assert cards_in_readers(world.remote) == ["Yes", "Yes"]
