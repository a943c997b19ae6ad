import json
from pathlib import Path

import pytest

from sra.audit import Audit, Bounds
from sra.cli.audit import find_log
from sra.ledger import refusals_path
from sra.paths import AdminPaths, Paths
from sra.programs.run import status
from tests.cli.whole import app


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A remote's folder with a log in three files."""
    for number in range(15):
        Audit(Paths(tmp_path).audit, Bounds(file_size=1000)).record("key-use", account="ann", number=number)
    return tmp_path


def run(*arguments: str | Path) -> int:
    return status(app, ["audit", *map(str, arguments)])


def test_the_log_is_shown_line_by_line(remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "--root", remote) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" key-use ")[2] for line in lines] == [f"account=ann number={n}" for n in range(15)]


def test_the_newest_are_enough_if_asked(remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "--root", remote, "--last", "2") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["number=13", "number=14"]


def test_one_session_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for session in ("1a2b3c4d", "00000000", "1a2b3c4d"):
        Audit(Paths(tmp_path).audit).record("key-use", session=session, reason="session=1a2b3c4d")
    assert run("show", "--root", tmp_path, "--session", "1a2b3c4d", "--json") == 0
    assert [each["facts"]["session"] for each in json.loads(capsys.readouterr().out)] == ["1a2b3c4d", "1a2b3c4d"]
    assert run("show", "--root", tmp_path, "--session", "1a2b3c4d", "--last", "1") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_json_has_everything(remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "--root", remote, "--json") == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["facts"]["number"] for record in records] == list(range(15))
    assert set(records[0]) == {"time", "event", "facts", "previous"}


def test_a_whole_chain_is_verified(remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--root", remote) == 0
    assert "is whole, from audit-000001.jsonl on" in capsys.readouterr().err


def test_a_broken_chain_is_status_one_with_the_line(remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = Paths(remote).audit.with_name("audit-000002.jsonl")
    lines = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert run("verify", "--root", remote) == 1
    assert f"{second}: line 2 is damaged, or does not follow" in capsys.readouterr().err


def test_without_a_log_the_file_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("show", "verify"):
        assert run(command, "--config-dir", tmp_path) == 1
        assert str(AdminPaths(tmp_path).audit) in capsys.readouterr().err


def test_which_log_is_meant(tmp_path: Path) -> None:
    assert find_log(tmp_path, None) == Paths(tmp_path).audit
    assert find_log(None, tmp_path) == AdminPaths(tmp_path).audit
    assert find_log(tmp_path, tmp_path / "of the environment") == Paths(tmp_path).audit


def test_a_record_that_could_move_the_cursor_can_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = AdminPaths(tmp_path).audit
    Audit(path).record("x", a="b")
    path.write_bytes(path.read_bytes().replace(b'"b"', b'"\\u001b[2J"'))
    assert run("show", "--config-dir", tmp_path) == 0
    assert "a=?[2J" in capsys.readouterr().out


def test_decisions_and_refusals_are_shown_in_one_order_and_both_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Paths(tmp_path).audit
    for number in range(3):
        Audit(path).record("key-use", number=number)
        Audit(refusals_path(path)).record("refused", number=number)
    assert run("show", "--root", tmp_path) == 0
    shown = [line.split()[2:] for line in capsys.readouterr().out.splitlines()]
    assert shown == [[event, f"number={number}"] for number in range(3) for event in ("key-use", "refused")]
    assert run("verify", "--root", tmp_path) == 0
    assert capsys.readouterr().err.count("is whole") == 2
    lines = refusals_path(path).read_bytes().splitlines(keepends=True)
    refusals_path(path).write_bytes(lines[0] + lines[2])
    assert run("verify", "--root", tmp_path) == 1
    assert "audit-refusals.jsonl: line 2 is damaged" in capsys.readouterr().err


def test_refusals_alone_are_a_log_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Audit(refusals_path(Paths(tmp_path).audit)).record("refused")
    assert run("show", "--root", tmp_path) == 0
    assert "refused" in capsys.readouterr().out
    assert run("verify", "--root", tmp_path) == 0
