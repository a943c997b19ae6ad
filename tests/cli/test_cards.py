"""``sra cards``, run as a program: PC/SC's library is led to its service once in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.admin.cards.card_in_reader import __file__ as card_in_reader
from tests.admin.cards.private_pcscd import private_pcscd

COMMAND = "import typer; from sra.cli.cards import cards; typer.run(cards)"
CREATE = "from sra.cli.softcard import app; app()"


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
