"""The PIN pad with real programs: the PIN is typed at the admin's terminal, or refused there."""

from __future__ import annotations

import hashlib
import json
import re
import time

import pytest

from lab.cards import MODULE
from lab.hosts import Host
from lab.processes import wait_until
from lab.product import PIN, PYTHON, SRA, World, code_of, tries_left
from sra.admin.guard.questions import MAX_NOES
from tests.system.opensc import pkcs11_tool
from tests.system.pin_pad import ASKS, DONE, PROGRAMS, at_pad, prepare, records, session, start

AT_ONCE = 5.0
"""Seconds for a program to end after a refusal; it would wait for the person for 60."""
SELECT = "00A4040009A0000003080000100000"
VERIFY = "0020008008" + PIN.encode().ljust(8, b"\xff").hex()
PIN_STATE = "00200080"
WRONG = "0020008008" + b"000000".ljust(8, b"\xff").hex()


@pytest.fixture(scope="module", autouse=True)
def _ann(world: World) -> None:
    prepare(world, ["9A=RSA2048", "9C=P256", "9D=RSA2048"])


def send(world: World, *apdus: str) -> list[str]:
    """The status words of the card in the reader."""
    arguments = [word for apdu in apdus for word in ("--send-apdu", apdu)]
    said = world.remote.run(["opensc-tool", *arguments]).stdout
    return ["".join(word) for word in re.findall("SW1=0x(..), SW2=0x(..)", said)]


def test_every_program_gets_the_pin_from_the_admins_terminal(world: World) -> None:
    with at_pad(world) as pad:
        for name in PROGRAMS:
            program = start(world.remote, name)
            pad.gives(f"{ASKS}: PIN of software:ann (3 tries left", PIN)
            assert program.wait(15) == 0, program.output
            assert DONE[name] in program.output
            assert PIN not in program.output
        assert PIN not in pad.output
    assert tries_left(world.admin, "ann") == 3


def test_a_no_ends_every_program_at_once_and_cleanly(world: World) -> None:
    with at_pad(world) as pad:
        for number, name in enumerate(PROGRAMS):
            if number == MAX_NOES:
                assert f"{number} questions in a row got no yes. For more: sra session resume" in pad.output
                assert start(world.remote, name).wait(AT_ONCE) != 0
                pad.wait_for("Refused: PIN check: The PIN was not asked for: too many got no yes")
                session(world, "resume")
            program = start(world.remote, name)
            pad.gives(ASKS, "")
            refused = time.monotonic()
            assert program.wait(AT_ONCE) != 0
            print(f"{name} ended {time.monotonic() - refused:.2f} s after the refusal")
            assert DONE[name] not in program.output
            pad.wait_for("PIN asked on the PIN pad: refused.")
        assert "Key 9A" not in pad.output
    assert tries_left(world.admin, "ann") == 3


@pytest.mark.parametrize("word", ["y", ""], ids=["yes", "no"])
def test_what_9c_is_to_sign_is_shown_before_it_does_and_the_pin_is_no_yes_to_it(world: World, word: str) -> None:
    world.remote.write("/tmp/text", word)
    options = ["--id", "02", "-m", "ECDSA-SHA256", "-i", "/tmp/text", "-o", f"/tmp/signed-{word}"]
    with at_pad(world) as pad:
        program = world.remote.start(["pkcs11-tool", "--module", MODULE, "--login", "--sign", *options])
        for _ in range(2):  # for the login, and for the signature
            pad.gives(ASKS, PIN)
        digest = hashlib.sha256(word.encode()).hexdigest()
        pad.says(f"remote (account ann) wants to sign with key 9C, sha256 digest {digest}. Allow it?", word)
        assert (program.wait(15) == 0) is bool(word), program.output
        assert ("Key 9C signed" in pad.output) is bool(word)


def test_a_wrong_one_may_be_corrected_without_the_program_noticing(world: World) -> None:
    """Nor the card: it is known already that this is another than the one that was given at first."""
    with at_pad(world) as pad:
        program = start(world.remote, "pamtester")
        for typed in ("000000", PIN):
            pad.gives(f"{ASKS}: PIN of software:ann (3 tries left", typed)
        assert program.wait(15) == 0, program.output
    assert tries_left(world.admin, "ann") == 3


def test_a_kept_pin_needs_a_yes_and_a_no_is_one(world: World) -> None:
    with at_pad(world, "--pin-cache", "5") as pad:
        for word, succeeds in (("y", True), ("", False), (PIN, False), ("yes", True)):
            program = start(world.remote, "pamtester")
            pad.says(f"{ASKS}. Give it?", word)
            assert (program.wait(15) == 0) is succeeds, program.output
        assert "Enter alone refuses" not in pad.output.partition("The card is inserted")[2]


def test_the_real_pin_typed_on_the_remote_is_refused_and_told(world: World) -> None:
    with at_pad(world) as pad:
        assert send(world, SELECT, WRONG) == ["9000", "63C2"]
        assert send(world, SELECT, VERIFY) == ["9000", "63C1"]
        pad.wait_for("Your real PIN was typed on remote. It was refused, but that machine has seen it: change it.")
        assert PIN not in pad.output
    assert tries_left(world.admin, "ann") == 3
    assert [record["event"] for record in records(world.admin)].count("real-pin-typed") == 1


def test_a_new_login_on_the_remote_does_not_lose_the_card(world: World) -> None:
    with at_pad(world) as pad:
        for _ in range(2):
            program = start(world.remote, "su")
            pad.gives(ASKS, PIN)
            assert program.wait(15) == 0, program.output
        assert pad.output.count("The card is inserted") == 1
        assert "ejected" not in pad.output


def test_the_question_of_a_killed_program_stays_and_its_answer_unlocks_nothing(world: World) -> None:
    with at_pad(world) as pad:
        program = start(world.remote, "pkcs11-tool")
        pad.wait_for(ASKS)
        program.kill()
        time.sleep(1)
        pad.gives("PIN of software:ann", PIN)
        pad.wait_for("PIN asked on the PIN pad: right.")
        assert send(world, SELECT, PIN_STATE) == ["9000", "63C3"]
        assert "Key 9A" not in pad.output


# Orders.


ORDER = """
import asyncio, sys, time
from pathlib import Path
from sra.admin.control import ControlRequest, running, tell
(path,) = running(Path("/root/.config/sra/sessions"))
begun = time.monotonic()
asyncio.run(tell(path, ControlRequest.EJECT))
print((time.monotonic() - begun) * 1000)
"""
"""What ``sra session eject`` does, without the time that a program takes to start."""


def test_eject_takes_the_card_out_at_once_and_insert_brings_it_back(world: World) -> None:
    with world.inserted("ann") as connection:
        assert "inserted" in session(world, "list")
        took = float(world.admin.run([PYTHON, "-c", ORDER]).stdout)
        print(f"{took:.1f} ms from the order until the remote had said that its reader is empty")
        assert "Private Key" not in pkcs11_tool(world.remote, "--list-objects", check=False).stdout
        assert "ejected" in session(world, "list")
        session(world, "insert")
        wait_until(lambda: connection.output.count("The card is inserted") == 2, "the card", 10)
        assert start(world.remote, "pamtester").wait(15) == 0
        assert "the card is out of its reader" in session(world, "eject")


def test_eject_withdraws_the_question_that_is_on_the_screen(world: World) -> None:
    with at_pad(world) as pad:
        program = start(world.remote, "pamtester")
        pad.wait_for(ASKS)
        begun = time.monotonic()
        session(world, "eject")
        assert program.wait(AT_ONCE) != 0
        print(f"the program ended {(time.monotonic() - begun) * 1000:.0f} ms after the order")
        pad.wait_for("Refused: PIN check")


def test_a_pause_refuses_everything_until_it_is_resumed(world: World) -> None:
    with at_pad(world) as pad:
        program = start(world.remote, "pamtester")
        pad.wait_for(ASKS)
        session(world, "pause")
        assert program.wait(AT_ONCE) != 0
        assert start(world.remote, "pamtester").wait(AT_ONCE) != 0
        assert "paused" in session(world, "list")
        session(world, "resume")
        program = start(world.remote, "pamtester")
        pad.gives(ASKS, PIN)
        assert program.wait(15) == 0, program.output


def test_reopen_gives_a_new_code_where_the_old_one_was_spent(world: World) -> None:
    with world.inserted("ann", entry="code") as connection:
        first = code_of(connection)
        assert send(world, SELECT, WRONG, WRONG, WRONG)[1:] == ["63C2", "63C1", "6983"]
        connection.wait_for("Nothing is lent until you run: sra session reopen")
        second = re.sub(r"\D", "", session(world, "reopen").partition("Session code")[2])
        assert len(second) == 8
        assert second != first
        listing = ("--login", "--list-objects", "--type", "privkey")
        assert pkcs11_tool(world.remote, "--pin", first, *listing, check=False).returncode != 0
        assert pkcs11_tool(world.remote, "--pin", second, *listing).returncode == 0
    assert tries_left(world.admin, "ann") == 3


# Rules.


@pytest.mark.parametrize("answer", ["deny", "ask"])
def test_the_persons_rules_decide(world: World, answer: str) -> None:
    world.admin.run([SRA, "rules", "add", "rem*", "9A", answer])
    try:
        with at_pad(world) as pad:
            program = start(world.remote, "pamtester")
            pad.gives(ASKS, PIN)
            assert (program.wait(15) == 0) is (answer == "ask"), program.output
            if answer == "ask":
                signing = start(world.remote, "pamtester")
                pad.gives(ASKS, PIN)
                assert signing.wait(15) == 0, "the PIN is the answer each time"
            else:
                pad.wait_for("a rule forbids the use of key 9A")
    finally:
        world.admin.run([SRA, "rules", "remove", "1"])


def test_both_audit_logs_are_whole_and_tell_of_it(world: World) -> None:
    with world.inserted("ann") as connection:
        assert start(world.remote, "pamtester").wait(15) == 0
        session(world, "pause")
        assert start(world.remote, "pamtester").wait(15) != 0
        session(world, "resume")
        send(world, SELECT, WRONG, WRONG, WRONG)
        connection.wait_for("Nothing is lent until")
    admin, remote = records(world.admin), records(world.remote, "--root", "/")
    told = {str(record["event"]) for record in admin}
    assert {"connected", "inserted", "pin", "key-use", "refused", "paused", "code-closed"} <= told
    told = {str(record["event"]) for record in remote}
    assert {"authenticated", "inserted", "pin", "key-use", "ejected", "disconnected"} <= told
    assert PIN not in str(admin + remote)


def events(host: Host, identifier: str) -> list[str]:
    """What a host's audit log tells of a session."""
    shown = json.loads(host.run([SRA, "audit", "show", "--json", "--session", identifier]).stdout)
    return [record["event"] for record in shown]


def test_one_identifier_finds_a_session_in_both_machines_logs_and_nothing_of_another(world: World) -> None:
    for number in (1, 2):
        with world.inserted("ann") as connection:
            (identifier,) = re.findall(r"as ann \(session ([0-9a-f]{8})\)", connection.output)
            for _ in range(number):
                assert start(world.remote, "pamtester").wait(15) == 0
        told = events(world.admin, identifier)
        assert (told[:2], told.count("key-use")) == (["connected", "inserted"], number)
        told = events(world.remote, identifier)
        assert (told[0], told.count("key-use"), told[-1]) == ("authenticated", number, "disconnected")
        logged = world.remote.run([SRA, "log", "--root", "/", "--session", identifier]).stdout.splitlines()
        assert [line for line in logged if f": session={identifier} " not in line] == []
        assert [line.endswith(" connected as ann") for line in logged].count(True) == 1
        assert logged[-1].endswith(": disconnected")
