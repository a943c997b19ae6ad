import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sra.audit import Audit
from sra.cli import log
from sra.cli.log import journal_command, lines_of, lines_since, log_file, parse_since
from sra.errors import UsageError
from sra.paths import AdminPaths, Paths
from sra.programs.run import status
from sra.system import machine
from tests.cli.whole import app

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("90s", NOW - timedelta(seconds=90)),
        ("2027-01-14", datetime(2027, 1, 14, tzinfo=UTC)),
        ("2027-01-14 06:30", datetime(2027, 1, 14, 6, 30, tzinfo=UTC)),
        ("2027-01-14T06:30:05+01:00", datetime(2027, 1, 14, 5, 30, 5, tzinfo=UTC)),
        ("999999999d", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(text: str, moment: datetime) -> None:
    assert parse_since(text, NOW) == moment


def test_no_moment_is_none_and_another_word_an_error() -> None:
    assert parse_since("", NOW) is None
    for text in ("yesterday", "2h30m", "-1h", "2027-13-01"):
        with pytest.raises(UsageError, match="is no time"):
            parse_since(text, NOW)


def test_the_journal_is_asked_for_our_programs_only() -> None:
    assert journal_command(None, None, follow=False) == [
        "journalctl", "--output=short-iso", "--identifier", "srad", "--identifier", "sra-card",
        "--identifier", "sra-screen",
    ]  # fmt: skip
    assert journal_command(NOW, None, follow=True)[-2:] == ["--since=@1800000000", "--follow"]
    assert journal_command(None, "1a2b3c4d", follow=False)[-1] == "--grep=^session=1a2b3c4d "


def test_without_journalctl_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="journalctl"):
        journal_command(None, None, follow=False)


def test_a_remote_that_is_a_service_is_looked_up_in_the_journal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(machine, "BOOTED", tmp_path)
    monkeypatch.setattr(machine, "UNIT_FOLDERS", (tmp_path,))
    (tmp_path / "srad.service").touch()
    monkeypatch.setattr("os.execvp", lambda _, command: asked.append(command))
    assert status(app, ["log", "--follow"]) == 0
    assert asked == [journal_command(None, None, follow=True)]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The log of a remote that runs by hand."""
    path = log_file(Paths(tmp_path))
    path.parent.mkdir(parents=True)
    path.write_text(
        "2027-01-14 08:00:00,000 INFO sra.daemon: one\n"
        "2027-01-15 08:00:00,500 INFO sra.daemon: two\n"
        "a line of something else\n"
        "2027-01-16 08:00:00,000 INFO sra.card: three\x1b[2J\n"
    )
    return tmp_path


def test_a_remote_that_runs_by_hand_has_a_file(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(app, ["log", "--root", str(written)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["one", "two", "else", "three?[2J"]


def test_it_is_shown_since_a_moment(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(app, ["log", "--root", str(written), "--since", "2027-01-15 08:00"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["two", "else", "three?[2J"]


def test_the_lines_of_one_session_are_found_and_none_that_only_speaks_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = log_file(Paths(tmp_path))
    path.parent.mkdir(parents=True)
    path.write_text(
        "2027-01-14 08:00:00,000 INFO sra.network: session=1a2b3c4d 192.0.2.7: connected as ann\n"
        "2027-01-14 08:00:01,000 INFO sra.network: session=00000000 192.0.2.8: connected as bob\n"
        "2027-01-14 08:00:02,000 INFO sra.transport: 192.0.2.9: the other side says goodbye: session=1a2b3c4d \n"
        "2027-01-14 08:00:03,000 INFO sra.network: session=1a2b3c4d 192.0.2.7: disconnected\n"
    )
    assert status(app, ["log", "--root", str(tmp_path), "--session", "1a2b3c4d"]) == 0
    assert [line[-12:] for line in capsys.readouterr().out.splitlines()] == ["nnected as ann"[-12:], "disconnected"]


@pytest.mark.parametrize("text", ["", "1A2B3C4D", "1a2b3c4", "1a2b3c4d\n", ".*", "--follow"])
def test_what_is_no_session_is_said(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["log"], ["audit", "show"]):
        assert status(app, [*command, "--root", str(tmp_path), f"--session={text}"]) == 2
        assert "is no session" in capsys.readouterr().err


def test_since_a_moment_that_no_line_reaches_there_is_nothing() -> None:
    assert list(lines_since(["2027-01-14 08:00:00 x", "rubbish"], NOW)) == []


def test_a_missing_file_is_said_and_who_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(app, ["log", "--root", str(tmp_path)]) == 2
    assert "sra remote run" in capsys.readouterr().err


def test_following_goes_on_with_what_is_added_and_with_the_next_file(tmp_path: Path) -> None:
    path = tmp_path / "sra.log"
    path.write_text("one\n")
    lines: Iterator[str] = lines_of(path, follow=True)
    assert next(lines) == "one"
    with path.open("a") as file:
        file.write("two\n")
    assert next(lines) == "two"
    path.rename(tmp_path / "sra.old")
    adding = threading.Timer(0.1, lambda: path.write_text("three\n"))
    adding.start()
    assert next(lines) == "three"
    adding.join()


def test_an_admin_s_machine_shows_its_audit_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "log_file", lambda _: tmp_path / "none")
    assert status(app, ["log", "--config-dir", str(tmp_path)]) == 2
    assert "Nothing is logged here" in capsys.readouterr().err
    Audit(AdminPaths(tmp_path).audit).record("connected", remote="r")
    assert status(app, ["log", "--config-dir", str(tmp_path), "--since", "1h"]) == 0
    assert capsys.readouterr().out.endswith("connected remote=r\n")
    Audit(AdminPaths(tmp_path).audit).record("connected", remote="r", session="1a2b3c4d")
    assert status(app, ["log", "--config-dir", str(tmp_path), "--session", "1a2b3c4d"]) == 0
    assert capsys.readouterr().out.endswith(" connected remote=r session=1a2b3c4d\n")
    assert status(app, ["log", "--config-dir", str(tmp_path), "--session", "00000000"]) == 0
    assert capsys.readouterr().out == ""
    assert status(app, ["log", "--config-dir", str(tmp_path), "--since", "9000-01-01"]) == 0
    assert capsys.readouterr().out == ""
