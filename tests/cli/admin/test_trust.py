import json
from datetime import date
from pathlib import Path

import pytest

from sra.identity.x509_reading import fingerprint
from sra.paths import AdminPaths
from sra.programs.run import status
from sra.transport.known_remotes import KnownRemotes, address
from tests.cli.whole import app

SHOWN = fingerprint(b"certificate")


@pytest.fixture
def known(tmp_path: Path) -> KnownRemotes:
    remotes = KnownRemotes(AdminPaths(tmp_path).known_remotes)
    for host, port in (("a.example", 4116), ("a.example", 22), ("::1", 4116)):
        remotes.remember(address(host, port), SHOWN, date(2026, 1, 2))
    return remotes


def run(*arguments: str, folder: Path) -> int:
    return status(app, ["trust", *arguments, "--config-dir", str(folder)])


def test_the_remotes_are_listed(known: KnownRemotes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", folder=tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["a.example:4116", SHOWN, "2026-01-02"],
        ["a.example:22", SHOWN, "2026-01-02"],
        ["[::1]:4116", SHOWN, "2026-01-02"],
    ]


def test_json_lists_them_for_programs(known: KnownRemotes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json", folder=tmp_path) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown[0] == {"host": "a.example", "port": 4116, "fingerprint": SHOWN, "added": "2026-01-02"}
    assert len(shown) == 3


def test_nothing_known_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", folder=tmp_path) == 0
    assert "sra connect HOST" in capsys.readouterr().out
    assert run("list", "--json", folder=tmp_path) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_host_is_forgotten_with_all_its_ports_or_one(
    known: KnownRemotes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("forget", "[::1]:4116", folder=tmp_path) == 0
    assert run("forget", "A.example:22", folder=tmp_path) == 0
    assert [str(each.address) for each in known.all()] == ["a.example:4116"]
    assert run("forget", "a.example", folder=tmp_path) == 0
    assert known.all() == []
    assert capsys.readouterr().err.splitlines() == [
        f"sra: forgot {name}" for name in ("[::1]:4116", "a.example:22", "a.example:4116")
    ]


def test_what_is_not_remembered_can_not_be_forgotten(
    known: KnownRemotes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b.example", "a.example:23"):
        assert run("forget", name, folder=tmp_path) == 2
        assert "sra trust list" in capsys.readouterr().err
    assert run("forget", "no host", folder=tmp_path) == 2
    assert len(known.all()) == 3


def test_the_environment_names_the_folder_too(
    known: KnownRemotes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRA_CONFIG_DIR", str(tmp_path))
    assert status(app, ["trust", "list"]) == 0
    assert SHOWN in capsys.readouterr().out


def test_a_damaged_file_is_named_with_its_line(
    known: KnownRemotes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with known.path.open("a") as file:
        file.write("rubbish\n")
    assert run("list", folder=tmp_path) == 2
    assert f"{known.path}: line 5" in capsys.readouterr().err
