"""``sra card``: what becomes of the PIN of a card of this machine."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sra.cli.admin import softcard
from sra.cli.admin.card import app
from sra.errors import (
    CardError,
    PinBlockedError,
    PinWrongError,
    PukBlockedError,
    PukWrongError,
    SraError,
    UsageError,
)
from sra.piv.keys import Algorithm, Slot
from tests.cards.card_in_reader import __file__ as card_in_reader
from tests.cards.private_pcscd import private_pcscd
from tests.cards.soft_hsm import SO_PIN, SoftHsm

PIN, NEW, WRONG = "123456", "777777", "000000"
PROGRAM = """
import sys
from sra.cli.admin.card import app
from sra.programs.run import status
sys.exit(status(app, sys.argv[1:]))
"""
ON_ANN = ("--card", "software:ann")


@contextmanager
def lines(*typed: str) -> Iterator[str]:
    """A file descriptor with these lines."""
    reading, writing = os.pipe()
    os.write(writing, "".join(f"{line}\n" for line in typed).encode())
    os.close(writing)
    try:
        yield str(reading)
    finally:
        os.close(reading)


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--cards-dir", str(folder), "--config-dir", str(folder)])


def verify(folder: Path, pin: str, *words: str) -> Result:
    with lines(pin) as fd:
        return run(folder, "verify", "--pin-fd", fd, *(words or ON_ANN))


def change(folder: Path, *codes: str) -> Result:
    """Both codes come by one descriptor."""
    with lines(*codes) as fd:
        return run(folder, "change-pin", "--pin-fd", fd, "--new-pin-fd", fd, *ON_ANN)


def unblock(folder: Path, puk: str, new: str) -> Result:
    """Each code comes by a descriptor of its own."""
    with lines(puk) as puk_fd, lines(new) as new_fd:
        return run(folder, "unblock", "--puk-fd", puk_fd, "--new-pin-fd", new_fd, *ON_ANN)


def error(result: Result) -> SraError:
    assert isinstance(result.exception, SraError), result.output
    return result.exception


def make_card(folder: Path) -> str:
    """Make the card ``ann``; its PUK."""
    with lines(PIN) as fd:
        words = ["create", "ann", "--slot", "9A=P256", "--pin-fd", fd, "--cards-dir", str(folder)]
        said = CliRunner().invoke(softcard.app, words).stdout
    found = re.search(r"to unblock the PIN: (\S+)", said)
    assert found
    return found[1]


def tries(folder: Path) -> int:
    return int(json.loads((folder / "ann.softcard").read_bytes())["pin"].get("tries", 3))


@pytest.fixture
def puk(tmp_path: Path) -> str:
    return make_card(tmp_path)


@pytest.mark.usefixtures("puk")
def test_the_right_pin_is_right(tmp_path: Path) -> None:
    result = verify(tmp_path, PIN)
    assert (result.exit_code, result.stdout) == (0, "The PIN of software:ann is right.\n")


@pytest.mark.usefixtures("puk")
def test_wrong_pins_are_counted_and_then_the_way_out_is_named(tmp_path: Path) -> None:
    for left in (2, 1):
        wrong = error(verify(tmp_path, WRONG))
        assert isinstance(wrong, PinWrongError)
        assert (wrong.attempts_remaining, tries(tmp_path)) == (left, left)
    assert isinstance(error(verify(tmp_path, WRONG)), PinBlockedError)
    blocked = verify(tmp_path, PIN)
    assert isinstance(error(blocked), PinBlockedError)
    assert "sra card unblock" in blocked.stderr


@pytest.mark.usefixtures("puk")
def test_the_pin_is_changed(tmp_path: Path) -> None:
    result = change(tmp_path, PIN, NEW)
    assert (result.exit_code, result.stdout) == (0, "The PIN of software:ann is changed.\n")
    assert isinstance(error(verify(tmp_path, PIN)), PinWrongError)
    assert verify(tmp_path, NEW).exit_code == 0


@pytest.mark.usefixtures("puk")
def test_only_the_old_pin_changes_it_and_only_to_what_can_be_one(tmp_path: Path) -> None:
    assert isinstance(error(change(tmp_path, WRONG, NEW)), PinWrongError)
    assert isinstance(error(change(tmp_path, PIN, "12")), UsageError)
    assert "No new PIN" in str(error(change(tmp_path, PIN)))
    assert verify(tmp_path, PIN).exit_code == 0


def test_a_blocked_pin_is_unblocked_by_the_puk(tmp_path: Path, puk: str) -> None:
    for _ in range(3):
        verify(tmp_path, WRONG)
    assert isinstance(error(unblock(tmp_path, WRONG, NEW)), PukWrongError)
    result = unblock(tmp_path, puk, NEW)
    assert (result.exit_code, result.stdout) == (0, "The PIN of software:ann is new, and has all its tries.\n")
    assert verify(tmp_path, NEW).exit_code == 0


@pytest.mark.usefixtures("puk")
def test_a_blocked_puk_is_told(tmp_path: Path) -> None:
    for _ in range(3):
        unblock(tmp_path, WRONG, NEW)
    assert isinstance(error(unblock(tmp_path, WRONG, NEW)), PukBlockedError)


@pytest.mark.usefixtures("puk")
def test_the_card_may_be_named_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('card = "software:ann"\n')
    with lines(PIN) as fd:
        assert run(tmp_path, "verify", "--pin-fd", fd).exit_code == 0
    assert "no card's name" in str(error(verify(tmp_path, PIN, "--card", "nonsense")))


@pytest.mark.usefixtures("puk")
def test_no_pin_shows_anywhere_even_where_it_goes_wrong(tmp_path: Path) -> None:
    secret = "917364"
    words = ["--cards-dir", str(tmp_path), "--config-dir", str(tmp_path), *ON_ANN]
    debug = "import logging; logging.basicConfig(level=1); "
    for command, fds in (("verify", ["--pin-fd"]), ("change-pin", ["--pin-fd", "--new-pin-fd"])):
        with lines(secret, secret) as fd:
            chosen = [word for name in fds for word in (name, fd)]
            done = subprocess.run(
                [sys.executable, "-c", debug + PROGRAM, command, *words, *chosen],
                pass_fds=[int(fd)], capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 7
        assert "Traceback" in done.stderr
        assert secret not in done.stdout + done.stderr


def at_terminal(*words: str, typed: list[tuple[str, str]]) -> str:
    """All that a terminal shows while a person answers these prompts."""
    master, slave = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-c", PROGRAM, *words]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        seen = ""
        for prompt, line in typed:
            while prompt not in seen.rpartition("|")[2]:
                seen += os.read(master, 1000).decode()
            os.write(master, f"{line}\n".encode())
            seen += "|"
        try:
            while part := os.read(master, 1000):
                seen += part.decode()
        except OSError:  # the end of a terminal
            pass
        process.wait(10)
    os.close(master)
    return seen


@pytest.mark.usefixtures("puk")
def test_a_person_is_told_the_tries_and_types_what_nobody_sees(tmp_path: Path) -> None:
    place = ["--cards-dir", str(tmp_path), "--config-dir", str(tmp_path), *ON_ANN]
    prompts = [("(3 tries left): ", PIN), ("The new PIN: ", NEW), ("again: ", NEW)]
    said = at_terminal("change-pin", *place, typed=prompts)
    assert "is changed" in said
    assert PIN not in said
    assert NEW not in said
    for left in ("3 tries left", "2 tries left", "the last try"):
        at_terminal("verify", *place, typed=[(f"PIN of software:ann ({left}): ", WRONG)])
    assert "sra card unblock" in at_terminal("verify", *place, typed=[])


@pytest.mark.usefixtures("puk")
def test_two_different_new_pins_change_nothing(tmp_path: Path) -> None:
    place = ["--cards-dir", str(tmp_path), "--config-dir", str(tmp_path), *ON_ANN]
    said = at_terminal("change-pin", *place, typed=[("left): ", PIN), ("new PIN: ", NEW), ("again: ", WRONG)])
    assert "differ, so nothing was changed" in said
    assert verify(tmp_path, PIN).exit_code == 0


@pytest.mark.usefixtures("puk")
def test_without_a_terminal_it_says_how_to_give_the_pin(tmp_path: Path) -> None:
    words = ["verify", "--cards-dir", str(tmp_path), "--config-dir", str(tmp_path), *ON_ANN]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--pin-fd" in done.stderr


def test_the_pin_is_typed_on_the_reader_that_has_a_pad(tmp_path: Path) -> None:
    make_card(tmp_path)
    with private_pcscd(readers=1) as pcscd:
        words = ["--cards-dir", str(tmp_path), "--name", "ann", "--socket", str(pcscd.socket(0)), "--pad", PIN]
        with subprocess.Popen([sys.executable, card_in_reader, *words], stdout=subprocess.PIPE, text=True) as card:
            assert card.stdout is not None
            assert card.stdout.readline() == "inserted\n"
            chosen = ["verify", "--config-dir", str(tmp_path), "--card", f"pcsc:{pcscd.name(0)}"]
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, *chosen],
                env={**os.environ, **pcscd.environment}, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            card.terminate()
    assert done.stdout == f"The PIN of pcsc:{pcscd.name(0)} is right.\n"
    assert "type the PIN on the reader" in done.stderr


def test_a_card_behind_a_module_is_looked_after_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hsm = SoftHsm(tmp_path)
    hsm.add_card()
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P256, "01")
    monkeypatch.setenv("SOFTHSM2_CONF", hsm.environment["SOFTHSM2_CONF"])
    chosen = ["--card", "pkcs11:ann", "--module", str(hsm.module)]
    assert "--module FILE" in str(error(verify(tmp_path, PIN, "--card", "pkcs11:ann")))
    assert verify(tmp_path, PIN, *chosen).exit_code == 0
    (tmp_path / "config.toml").write_text(f'pkcs11_modules = ["{hsm.module}"]\ncard = "pkcs11:ann"\n')
    with lines(SO_PIN.decode(), NEW) as fd:
        assert run(tmp_path, "unblock", "--puk-fd", fd, "--new-pin-fd", fd).exit_code == 0
    with lines(NEW) as fd:
        assert run(tmp_path, "verify", "--pin-fd", fd).exit_code == 0
    assert isinstance(error(verify(tmp_path, WRONG, *chosen)), CardError)
