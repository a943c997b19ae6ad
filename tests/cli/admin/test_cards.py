"""``sra cards``, run as a program: PC/SC's library is led to its service once in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from sra.piv.keys import Algorithm, Slot
from tests.cards.card_in_reader import __file__ as card_in_reader
from tests.cards.private_pcscd import private_pcscd
from tests.cards.soft_hsm import SoftHsm

COMMAND = "import typer; from sra.cli.admin.cards import cards; typer.run(cards)"
CREATE = "from sra.cli.admin.softcard import app; app()"


def python(program: str, *words: str, env: dict[str, str] | None = None, given: str = "") -> str:
    run = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, **(env or {})},
        input=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def make_card(folder: Path) -> None:
    words = ["create", "ann", "--slot", "9A=P256", "--cards-dir", str(folder), "--pin-fd", "0"]
    python(CREATE, *words, given="123456\n")


def test_cards_of_every_kind_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    make_card(tmp_path)
    with private_pcscd(readers=2) as pcscd:
        words = ["--cards-dir", str(tmp_path), "--name", "ann", "--socket", str(pcscd.socket(0))]
        with subprocess.Popen([sys.executable, card_in_reader, *words], stdout=subprocess.PIPE, text=True) as card:
            assert card.stdout is not None
            assert card.stdout.readline() == "inserted\n"
            found = json.loads(python(COMMAND, "--json", "--cards-dir", str(tmp_path), env=pcscd.environment))
            table = python(COMMAND, "--cards-dir", str(tmp_path), env=pcscd.environment)
            card.terminate()
    assert [(one["name"], one["problem"][:16]) for one in found] == [
        ("software:ann", ""),
        (f"pcsc:{pcscd.name(0)}", ""),
        (f"pcsc:{pcscd.name(1)}", "There is no card"),
    ]
    assert "software card: 9A P256" in table
    assert "ready" in table


def test_without_the_service_the_software_cards_are_still_there(tmp_path: Path) -> None:
    make_card(tmp_path)
    nowhere = {"PCSCLITE_CSOCK_NAME": str(tmp_path / "nowhere")}
    software, readers = json.loads(python(COMMAND, "--json", "--cards-dir", str(tmp_path), env=nowhere))
    assert software["name"] == "software:ann"
    assert readers["name"] == "pcsc:"
    assert "isn't running; start it" in readers["problem"]


def test_cards_behind_modules_are_listed_and_modules_that_are_none(tmp_path: Path) -> None:
    hsm = SoftHsm(tmp_path)
    hsm.add_card()
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P256, "01")
    env = {**hsm.environment, "PCSCLITE_CSOCK_NAME": str(tmp_path / "nowhere")}
    (tmp_path / "config.toml").write_text(f'pkcs11_modules = ["{hsm.module}"]\n')
    words = ["--json", "--cards-dir", str(tmp_path), "--config-dir", str(tmp_path), "--module", "/nowhere.so"]
    found = {one["name"]: one for one in json.loads(python(COMMAND, *words, env=env))}
    assert found["pkcs11:ann"] == {
        "name": "pkcs11:ann",
        "description": "SoftHSM project SoftHSM v2: 9A P256",
        "problem": "",
    }
    assert found["pkcs11:"]["problem"] == "There is no PKCS#11 module /nowhere.so; give the path of its file."


def test_the_library_for_modules_is_not_loaded_without_one(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from sra.cards.choose import card_backends
card_backends(Path(sys.argv[1]))
print("pkcs11" in sys.modules)
"""
    assert python(program, str(tmp_path)) == "False\n"
