"""A card in a reader of the admin's machine is lent to the remote; what goes wrong with it is told in so many words."""

from collections.abc import Iterator

import pytest

from lab import product
from lab.hosts import CHECKOUT, Host, two_hosts
from lab.processes import Process, wait_until
from lab.product import CARDS, PIN, PYTHON, SRA, World, cards_in_readers, remote_at_work, tries_left
from tests.system.opensc import TEXT, decrypt, pkcs11_tool, sign, verify

CARD = "pcsc:Secure Remote Access 00 00"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The admin's machine has readers of its own, into which cards are put."""
    with two_hosts() as (admin, remote):
        world = remote_at_work(admin, remote)
        world.add_person("ann", ["9A=RSA2048", "9C=P256", "9D=RSA2048", "82=P384"])
        admin.pcscd()
        yield world


def put_in(admin: Host, name: str) -> Process:
    """Put a card into the admin's first reader."""
    where = ["--cards-dir", CARDS, "--name", name, "--socket", "/run/sra/readers/0"]
    card = admin.start([PYTHON, CHECKOUT / "tests/cards/card_in_reader.py", *where])
    card.wait_for("inserted")
    product.wait_for_card(admin)
    return card


def take_out(admin: Host, card: Process) -> None:
    card.terminate()
    card.wait()
    product.wait_for_card(admin, present=False)


@pytest.fixture
def card(world: World) -> Iterator[Process]:
    inside = put_in(world.admin, "ann")
    yield inside
    take_out(world.admin, inside)


def error(connection: Process) -> str:
    """What ``sra connect`` said at its end."""
    connection.wait()
    return connection.output.strip().splitlines()[-1]


def cards(admin: Host) -> list[str]:
    """What ``sra cards`` says of the cards in readers."""
    lines = admin.run([SRA, "cards", "--cards-dir", "/nonexistent"]).stdout.splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("pcsc:")]


def test_it_lists_signs_and_decrypts_on_the_remote(world: World, card: Process) -> None:
    connection = product.insert(world.admin, world.service, CARD)
    assert pkcs11_tool(world.remote, "--list-objects").stdout.count("Certificate Object") == 4
    sign(world.remote, "9A", "SHA256-RSA-PKCS")
    assert verify(world.remote, "9A", "sha256")
    for _ in range(2):
        sign(world.remote, "9C", "ECDSA-SHA256")
        assert verify(world.remote, "9C", "sha256")
    assert decrypt(world.remote, "9D", "RSA-PKCS") == TEXT
    assert card.is_running
    connection.terminate()
    assert connection.wait() == 0
    assert world.admin.run(["opensc-tool", "--name"]).stdout == "Personal Identity Verification Card\n"


def test_it_logs_in_through_pam(world: World, card: Process) -> None:
    world.remote.configure_pam_pkcs11("desk", "ann", product.certificate(world.admin, "ann"))
    connection = product.insert(world.admin, world.service, CARD)
    said = world.remote.run(["pamtester", "desk", "ann", "authenticate"])
    assert "successfully authenticated" in said.stdout
    connection.terminate()
    connection.wait()
    assert card.is_running


def test_pulled_out_it_is_out_on_the_remote_at_once(world: World) -> None:
    card = put_in(world.admin, "ann")
    connection = product.insert(world.admin, world.service, CARD)
    product.wait_for_card(world.remote)
    card.kill()
    wait_until(lambda: "Yes" not in cards_in_readers(world.remote), "the remote's reader to be empty", 1)
    assert error(connection) == "sra: error: The card was taken out, so it is out of the remote's reader too."
    assert connection.wait() == 4


def test_another_program_may_use_the_card_in_between(world: World, card: Process) -> None:
    connection = product.insert(world.admin, world.service, CARD)
    for _ in range(2):
        listed = world.admin.run(["pkcs11-tool", "--login", "--pin", PIN, "--list-objects", "--type", "privkey"])
        assert "PIV AUTH key" in listed.stdout
        world.admin.run(["opensc-tool", "--reset"])
        sign(world.remote, "9A", "SHA256-RSA-PKCS")
        assert verify(world.remote, "9A", "sha256")
    connection.terminate()
    connection.wait()
    assert card.is_running


def test_without_a_card_it_says_so(world: World) -> None:
    connection = product.connect(world.admin, world.service, CARD)
    assert error(connection) == "sra: error: There is no card in the reader; put it in and try again."
    assert connection.wait() == 4
    assert cards(world.admin)[0] == f"{CARD} card in a reader There is no card in the reader; put it in and try again."


def test_a_reader_that_is_not_there_is_named(world: World) -> None:
    connection = product.connect(world.admin, world.service, "pcsc:Another Reader")
    said = "sra: error: There is no reader 'Another Reader' now; `sra cards` shows those there are."
    assert (error(connection), connection.wait()) == (said, 4)


def test_a_card_that_another_program_has_to_itself_is_busy(world: World, card: Process) -> None:
    holder = world.admin.start([PYTHON, CHECKOUT / "tests/system/hold_card.py"])
    holder.wait_for("held")
    connection = product.connect(world.admin, world.service, CARD)
    busy = "Another program is using the card; wait until it is done, or close it, and try again."
    assert (error(connection), connection.wait()) == (f"sra: error: {busy}", 4)
    holder.kill()
    waiting = world.admin.start([PYTHON, CHECKOUT / "tests/system/hold_card.py"])
    waiting.wait_for("held")
    connection = product.connect(world.admin, world.service, CARD)
    waiting.kill()
    connection.wait_for("The card is inserted")
    connection.terminate()
    connection.wait()
    assert card.is_running


def test_wrong_pins_are_counted_by_the_card_and_block_it(world: World) -> None:
    product.make_card(world.admin, "bob", ["9A=P256"])
    card = put_in(world.admin, "bob")
    expected = [
        "The PIN is wrong; 2 tries are left before the card blocks it.",
        "The PIN is wrong; 1 try is left before the card blocks it.",
        "The card's PIN is blocked; its issuer can unblock it with the PUK.",
        "The card's PIN is blocked; its issuer can unblock it with the PUK.",
    ]
    for text, pin in zip(expected, ("000000", "111111", "222222", PIN), strict=True):
        connection = product.connect(world.admin, world.service, CARD, pin=pin)
        assert (error(connection), connection.wait()) == (f"sra: error: {text}", 7)
    assert tries_left(world.admin, "bob") == 0
    take_out(world.admin, card)


def test_without_a_reader_it_says_so(world: World) -> None:
    stop = ["sh", "-c", "kill $(pidof pcscd); while pidof pcscd; do sleep 0.01; done"]
    world.admin.run(stop)
    connection = product.connect(world.admin, world.service, CARD)
    said = "The smart card service isn't running; start it (`sudo systemctl start pcscd.socket`), and try again."
    assert (error(connection), connection.wait()) == (f"sra: error: {said}", 4)
    world.admin.pcscd(readers=0)
    connection = product.connect(world.admin, world.service, CARD)
    said = "There is no smart card reader; connect one and try again."
    assert (error(connection), connection.wait()) == (f"sra: error: {said}", 4)
    assert cards(world.admin) == [f"pcsc: cards in readers {said}"]
    world.admin.run(stop)
    world.admin.pcscd()
