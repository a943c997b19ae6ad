"""The PIN stays on the admin's machine; on the remote a code is typed, or, only where the person wants it, the PIN."""

import re

import pytest

from lab import product
from lab.processes import wait_until
from lab.product import PIN, SRA, Terminal, World, code_of, tries_left
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


def test_the_session_code_opens_the_keys_where_a_pin_would_be_typed(world: World) -> None:
    with world.inserted("ann", entry="code") as connection:
        assert "PIN pad present" not in pkcs11_tool(world.remote, "--list-slots").stdout
        sign(world.remote, "9A", "ECDSA-SHA256", "--pin", code_of(connection))
        assert verify(world.remote, "9A", "sha256")
        assert "PIN typed on the remote: right." in connection.output


def test_three_wrong_codes_close_the_connection_for_keys_and_cost_the_card_nothing(world: World) -> None:
    with world.inserted("ann", entry="code") as connection:
        code = code_of(connection)
        said = [login(world, typed) for typed in ("00000000", "11111111", code, "00000000", "11111111", "222222", code)]
        wrong, closed = "CKR_PIN_INCORRECT", "CKR_PIN_LOCKED"
        assert said[:6] == [wrong, wrong, "right", wrong, wrong, closed]
        assert said[6] != "right"
        assert send(world, SELECT, SIGN.format(slot="9A")) == ["9000", "6982"]
        assert "The session code was typed wrong too often." in connection.output
        again = world.admin.run([SRA, "session", "reopen"]).stdout.removeprefix("Session code ")
        assert login(world, code) == wrong
        assert login(world, again.replace(" ", "").strip()) == "right"
    assert tries_left(world.admin, "ann") == 3


def test_the_real_pin_is_no_session_code_and_typing_it_is_told(world: World) -> None:
    with world.inserted("ann", entry="code") as connection:
        assert login(world, PIN) == "CKR_PIN_INCORRECT"
        connection.wait_for("Your real PIN was typed on remote. It was refused, but that machine has seen it")
        assert PIN not in connection.output


def test_wrong_pins_that_would_be_forwarded_close_it_too_and_cost_the_card_nothing(world: World) -> None:
    with world.inserted("ann", entry="forward"):
        wrong, closed = "CKR_PIN_INCORRECT", "CKR_PIN_LOCKED"
        said = [login(world, typed) for typed in ("000000", "111111", PIN, "222222", "333333", "444444", PIN)]
        assert said[:6] == [wrong, wrong, "right", wrong, wrong, closed]
        assert said[6] != "right"
    assert tries_left(world.admin, "ann") == 3


def test_what_was_typed_counts_in_its_own_connection_only(world: World) -> None:
    with world.inserted("ann", entry="code") as connection:
        code = code_of(connection)
        assert login(world, code) == "right"
    with world.inserted("ann", entry="code"):
        assert send(world, SELECT, SIGN.format(slot="9A")) == ["9000", "6982"]
        assert login(world, code) == "CKR_PIN_INCORRECT"


def send(world: World, *apdus: str) -> list[str]:
    """The status words of the card in the reader."""
    arguments = [word for apdu in apdus for word in ("--send-apdu", apdu)]
    said = world.remote.run(["opensc-tool", *arguments]).stdout
    return ["".join(word) for word in re.findall("SW1=0x(..), SW2=0x(..)", said)]


def test_9a_wants_the_pin_once_and_9c_for_each_signature(world: World) -> None:
    uses = {slot: SIGN.format(slot=slot) for slot in ("9A", "9C")}
    with world.inserted("ann", entry="forward") as connection:
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


def at_terminal(world: World, name: str) -> Terminal:
    connecting = ["connect", "remote", "--card", f"software:{name}", "--cards-dir", product.CARDS]
    return Terminal(world.admin, [SRA, *connecting, "--fingerprint", world.service.fingerprint])


def test_a_person_at_a_terminal_gives_the_pin_and_answers_the_pad(world: World) -> None:
    terminal = at_terminal(world, "ann")
    terminal.answer("To connect to remote: PIN of software:ann (3 tries left, 60 s, Enter alone refuses): ", "000000")
    terminal.answer("PIN of software:ann (2 tries left", PIN)
    terminal.process.wait_for("The card is inserted")
    question = "remote (account ann) asks for your PIN: PIN of software:ann ("
    for typed, expected in ((PIN, "right"), ("", "CKR_FUNCTION_CANCELED")):
        asked = terminal.process.output.count(question)
        listing = world.remote.start(["sh", "-c", 'pkcs11-tool "$@" 2>&1', "sh", "--login", *LIST_PRIVATE])
        wait_until(lambda asked=asked: terminal.process.output.count(question) > asked, "the question", 10)  # type: ignore[misc]
        terminal.answer(question, typed)
        listing.wait()
        assert (expected in listing.output) is (expected != "right"), listing.output
    assert PIN not in terminal.process.output
    terminal.process.terminate()
    terminal.process.wait()
    product.wait_for_card(world.remote, present=False)
    assert tries_left(world.admin, "ann") == 3


def test_a_person_is_told_which_try_is_the_last_and_may_stop_there(world: World) -> None:
    product.make_card(world.admin, "bob", ["9A=P256"])
    terminal = at_terminal(world, "bob")
    terminal.answer("PIN of software:bob (3 tries left", "000000")
    terminal.answer("PIN of software:bob (2 tries left", "111111")
    terminal.answer("PIN of software:bob (the last try", "")
    assert terminal.process.wait() == 7
    assert "The PIN is wrong; 1 try is left before the card blocks it." in terminal.process.output
    assert tries_left(world.admin, "bob") == 1
