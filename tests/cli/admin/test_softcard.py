"""``sra softcard``: what a person types, and what is said."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from sra.cards.software.backend import SoftwareBackend
from sra.cli.admin.softcard import app
from sra.cli.console.pins import PIN
from sra.errors import CardRemovedError, KeyMissingError, SraError, UsageError

PIN_LINE = b"123456\n"


def run(cards: Path, *words: str, typed: bytes = PIN_LINE, said: str = "") -> Result:
    """Run a command, with ``typed`` in the file descriptor of its PIN, and ``said`` to its questions."""
    reading, writing = os.pipe()
    os.write(writing, typed)
    os.close(writing)
    fd = ["--pin-fd", str(reading)] if words[0] == "create" else []
    try:
        return CliRunner().invoke(app, [*words, "--cards-dir", str(cards), *fd], input=said)
    finally:
        os.close(reading)


def out(cards: Path, *words: str) -> str:
    result = run(cards, *words)
    assert result.exception is None, result.exception
    return result.stdout


def error(cards: Path, *words: str, typed: bytes = PIN_LINE) -> SraError:
    result = run(cards, *words, typed=typed)
    assert isinstance(result.exception, SraError), result.output
    return result.exception


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """A folder that has one card, ``ann``, with one key."""
    folder = tmp_path / "cards"
    out(folder, "create", "ann", "--slot", "9A=P256", "--subject", "CN=Ann,O=Example")
    return folder


def test_a_new_card_has_the_usual_keys(tmp_path: Path) -> None:
    out(tmp_path, "create", "ann", "--algorithm", "p256")
    keys = json.loads(out(tmp_path, "show", "ann", "--json"))["keys"]
    assert [(key["slot"], key["algorithm"], key["pin"]) for key in keys] == [
        ("9A", "P256", "once"),
        ("9C", "P256", "always"),
        ("9D", "P256", "once"),
        ("9E", "P256", "never"),
    ]


def test_each_key_can_have_its_own_algorithm(tmp_path: Path) -> None:
    out(tmp_path, "create", "ann", "--slot", "9A=RSA2048", "--slot", "9e=P384", "--slot", "82", "--algorithm", "P256")
    keys = json.loads(out(tmp_path, "show", "ann", "--json"))["keys"]
    assert {key["slot"]: key["algorithm"] for key in keys} == {"9A": "RSA2048", "9E": "P384", "82": "P256"}


def test_it_says_what_to_type_next(tmp_path: Path) -> None:
    said = out(tmp_path / "my cards", "create", "ann", "--slot", "9A=P256")
    shown = json.loads(out(tmp_path / "my cards", "show", "ann", "--json"))
    assert f"SHA-256: {shown['keys'][0]['sha256']}" in said
    assert f"sra softcard certificate ann --cards-dir '{tmp_path}/my cards' --out ann.pem" in said
    assert "sra pair ACCOUNT --certificate ann.pem" in said


async def test_the_pin_is_the_one_that_was_given(cards: Path) -> None:
    card = await SoftwareBackend(cards).open("software:ann")
    await card.verify_pin(b"123456")


@pytest.mark.parametrize("typed", [b"1234\n", b"123456789\n", b"1" * 100, b"12 456\n"])
def test_a_pin_of_another_length_makes_no_card(tmp_path: Path, typed: bytes) -> None:
    said = str(error(tmp_path, "create", "ann", "--slot", "9A=P256", typed=typed))
    assert ("too long for a PIN" if len(typed) > PIN.most else "6 to 8") in said
    assert not list(tmp_path.iterdir())


def test_no_pin_makes_no_card(tmp_path: Path) -> None:
    assert "No PIN" in str(error(tmp_path, "create", "ann", typed=b""))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--algorithm", "RSA1024"], "is no algorithm"),
        (["--slot", "9B"], "is no slot"),
        (["--slot", "9A="], ""),
        (["--slot", "zz=P256"], "is no slot"),
        (["--days", "0"], "1 to 36500"),
        (["--subject", "CN="], "is no name"),
        (["--ca-cert", "/nowhere"], "together"),
        (["--ca-cert", "/nowhere", "--ca-key", "/nowhere"], "can't be read"),
    ],
)
def test_what_can_not_be_is_told_before_the_pin_is_asked(tmp_path: Path, words: list[str], said: str) -> None:
    if said:
        assert said in str(error(tmp_path, "create", "ann", *words, typed=b""))
    else:
        out(tmp_path, "create", "ann", *words)


def test_a_name_is_not_given_twice(cards: Path) -> None:
    assert "already" in str(error(cards, "create", "ann", typed=b""))


def test_an_authority_can_issue_the_certificates(tmp_path: Path) -> None:
    key, certificate = tmp_path / "ca.key", tmp_path / "ca.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=CA",
    ]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    issuer = ["--ca-cert", str(certificate), "--ca-key", str(key)]
    out(tmp_path / "cards", "create", "ann", "--slot", "9A=P256", "--upn", "ann@example.org", *issuer)
    out(tmp_path / "cards", "certificate", "ann", "--out", str(tmp_path / "ann.pem"))
    verify = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", str(certificate), str(tmp_path / "ann.pem")]
    assert subprocess.run(verify, check=True, capture_output=True, text=True).stdout.endswith("ann.pem: OK\n")


def test_the_certificate_is_pem(cards: Path, tmp_path: Path) -> None:
    printed = out(cards, "certificate", "ann")
    out(cards, "certificate", "ann", "--slot", "9a", "--out", str(tmp_path / "ann.pem"))
    assert (tmp_path / "ann.pem").read_text() == printed
    assert x509.load_pem_x509_certificate(printed.encode()).subject.rfc4514_string() == "CN=Ann,O=Example"


def test_a_file_that_can_not_be_written_is_told(cards: Path) -> None:
    assert "can't be written" in str(error(cards, "certificate", "ann", "--out", "/nowhere/ann.pem"))


def test_a_key_that_is_not_there_has_no_certificate(cards: Path) -> None:
    assert isinstance(error(cards, "certificate", "ann", "--slot", "9C"), KeyMissingError)


def test_the_list_shows_cards_and_what_is_wrong(cards: Path) -> None:
    (cards / "bad.softcard").write_bytes(b"rubbish")
    (cards / "bad.softcard").chmod(0o600)
    ann, bad = json.loads(out(cards, "list", "--json"))
    assert ann == {"name": "ann", "keys": "9A P256", "problem": ""}
    assert "damaged" in bad["problem"]
    assert "damaged" in out(cards, "list")


def test_an_empty_list_is_an_empty_list(tmp_path: Path) -> None:
    assert json.loads(out(tmp_path / "none", "list", "--json")) == []
    assert "sra softcard create" in out(tmp_path / "none", "list")


def test_a_card_is_shown_for_people_too(cards: Path) -> None:
    said = out(cards, "show", "ann")
    assert "3 PIN tries left" in said
    assert "CN=Ann,O=Example" in said


def test_a_card_is_removed_after_a_question(cards: Path) -> None:
    assert run(cards, "remove", "ann", said="n\n").exit_code != 0
    assert json.loads(out(cards, "list", "--json")) != []
    assert run(cards, "remove", "ann", said="y\n").exit_code == 0
    assert json.loads(out(cards, "list", "--json")) == []
    assert isinstance(error(cards, "remove", "ann", "--yes"), CardRemovedError)


def test_names_never_leave_the_folder(cards: Path) -> None:
    for words in (["show"], ["certificate"], ["create"]):
        assert isinstance(error(cards, *words, "../ann"), UsageError)
