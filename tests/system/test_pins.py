"""The PIN stays on the admin's machine, where it is asked; one that is typed on the remote is compared there."""

import re

import pytest

from lab import product
from lab.processes import wait_until
from lab.product import PIN, SRA, Terminal, World, tries_left
from tests.system.opensc import TEXT, pkcs11_tool, sign, verify

KEYS = ["9A=P256", "9C=P256", "9D=P256"]
LIST_PRIVATE = ("--list-objects", "--type", "privkey")

SELECT = "00A4040009A0000003080000100000"
VERIFY = "0020008008" + PIN.encode().ljust(8, b"\xff").hex()
SIGN = "0087 11 {slot} 26 7C24 8200 8120" + "11" * 32 + "00"


@pytest.fixture(scope="module", autouse=True)
def _ann(world: World) -> None:
    world.remote.configure_pam_pkcs11("desk", "ann", world.add_person("ann", KEYS))


def login(world: World, *pin: str) -> str:
    """What OpenSC says to the PIN; ``right`` if it says nothing."""
    given = ("--pin", *pin) if pin else ()
    done = pkcs11_tool(world.remote, "--login", *given, *LIST_PRIVATE, check=False)
    return "right" if done.returncode == 0 else done.stdout.partition("rv = ")[2].partition(" ")[0]


def test_the_pad_asks_the_admin_and_nothing_is_typed_on_the_remote(world: World) -> None:
    with world.inserted("ann") as connection:
        assert "PIN pad present" in pkcs11_tool(world.remote, "--list-slots").stdout
        sign(world.remote, "9A", "ECDSA-SHA256")
        assert verify(world.remote, "9A", "sha256")
        assert connection.output.count("PIN asked on the PIN pad: right.") == 1
        assert "typed" not in connection.output


def test_the_pads_question_can_be_answered_with_no(world: World) -> None:
    with world.inserted("ann", yes=False) as connection:
        assert login(world) == "CKR_FUNCTION_CANCELED"
        tried = world.remote.run(["pamtester", "desk", "ann", "authenticate"], check=False)
        assert "Authentication failure" in tried.stderr
        assert "PIN asked on the PIN pad: refused." in connection.output
        assert "PIN asked on the PIN pad: right." not in connection.output
    assert tries_left(world.admin, "ann") == 3


def test_without_a_pad_the_right_pin_typed_on_the_remote_opens_the_keys(world: World) -> None:
    with world.inserted("ann", pad=False) as connection:
        assert "PIN pad present" not in pkcs11_tool(world.remote, "--list-slots").stdout
        sign(world.remote, "9A", "ECDSA-SHA256", "--pin", PIN)
        assert verify(world.remote, "9A", "sha256")
        assert "PIN typed on the remote: right." in connection.output


def test_three_wrong_pins_block_the_session_and_cost_the_card_nothing(world: World) -> None:
    with world.inserted("ann", pad=False) as connection:
        said = [login(world, pin) for pin in ("000000", "111111", PIN, "000000", "111111", "222222", PIN)]
        wrong, blocked = "CKR_PIN_INCORRECT", "CKR_PIN_LOCKED"
        assert said == [wrong, wrong, "right", wrong, wrong, blocked, blocked]
        text = "PIN typed on the remote: wrong too often, so no PIN is taken from the remote any more; connect again"
        assert text in connection.output
    assert tries_left(world.admin, "ann") == 3
    with world.inserted("ann", pad=False):
        assert login(world, PIN) == "right"


def test_what_was_typed_counts_in_its_own_session_only(world: World) -> None:
    for _ in range(2):
        with world.inserted("ann", pad=False):
            assert [login(world, pin) for pin in (PIN, "000000", "111111")] == ["right", *["CKR_PIN_INCORRECT"] * 2]
            assert login(world, PIN) == "right"
    with world.inserted("ann", pad=False):
        assert send(world, SELECT, SIGN.format(slot="9A")) == ["9000", "6982"]


def send(world: World, *apdus: str) -> list[str]:
    """The status words of the card in the reader."""
    arguments = [word for apdu in apdus for word in ("--send-apdu", apdu)]
    said = world.remote.run(["opensc-tool", *arguments]).stdout
    return ["".join(word) for word in re.findall("SW1=0x(..), SW2=0x(..)", said)]


def test_9a_wants_the_pin_once_and_9c_for_each_signature(world: World) -> None:
    uses = {slot: SIGN.format(slot=slot) for slot in ("9A", "9C")}
    with world.inserted("ann", pad=False) as connection:
        assert send(world, SELECT, VERIFY, uses["9A"], uses["9A"]) == ["9000"] * 4
        assert send(world, SELECT, VERIFY, uses["9C"], uses["9C"]) == ["9000"] * 3 + ["6982"]
        assert send(world, SELECT, VERIFY, uses["9A"], uses["9C"]) == ["9000"] * 3 + ["6982"]
        assert send(world, SELECT, VERIFY, uses["9C"], VERIFY, uses["9C"]) == ["9000"] * 5
        assert connection.output.count("Key 9C signed") == 3


def test_on_the_pad_9c_asks_the_admin_each_time(world: World) -> None:
    with world.inserted("ann") as connection:
        for number in (1, 2):
            sign(world.remote, "9C", "ECDSA-SHA256", text=f"{number} {TEXT}")
            assert verify(world.remote, "9C", "sha256")
        # Once each for the login, once each for the signature.
        assert connection.output.count("PIN asked on the PIN pad: right.") == 4


def test_a_person_at_a_terminal_gives_the_pin_and_answers_the_pad(world: World) -> None:
    connecting = [str(SRA), "connect", "remote", "--card", "software:ann", "--cards-dir", product.CARDS]
    terminal = Terminal(world.admin, [*connecting, "--fingerprint", world.service.fingerprint])
    terminal.answer("PIN of software:ann to connect to remote: ", "000000")
    terminal.answer("The PIN is wrong; 2 tries are left", PIN)
    terminal.process.wait_for("The card is inserted")
    for typed, expected in (("y", "right"), ("", "CKR_FUNCTION_CANCELED"), ("n", "CKR_FUNCTION_CANCELED")):
        asked = terminal.process.output.count("asks for your PIN, to use your card. Let it?")
        listing = world.remote.start(["sh", "-c", 'pkcs11-tool "$@" 2>&1', "sh", "--login", *LIST_PRIVATE])
        wait_until(lambda asked=asked: terminal.process.output.count("Let it?") > asked, "the question", 10)  # type: ignore[misc]
        terminal.answer("Let it?", typed)
        listing.wait()
        assert (expected in listing.output) is (expected != "right"), listing.output
    assert PIN not in terminal.process.output
    terminal.process.terminate()
    terminal.process.wait()
    product.wait_for_card(world.remote, present=False)
    assert tries_left(world.admin, "ann") == 3


def test_a_person_who_mistypes_is_stopped_before_the_last_try(world: World) -> None:
    product.make_card(world.admin, "bob", ["9A=P256"])
    connecting = [str(SRA), "connect", "remote", "--card", "software:bob", "--cards-dir", product.CARDS]
    terminal = Terminal(world.admin, [*connecting, "--fingerprint", world.service.fingerprint])
    terminal.answer("PIN of software:bob to connect to remote: ", "000000")
    terminal.answer("The PIN is wrong; 2 tries are left", "111111")
    assert terminal.process.wait() == 7
    assert "The PIN is wrong; 1 try is left before the card blocks it." in terminal.process.output
    assert tries_left(world.admin, "bob") == 1
