"""What a session does when its card is out; that it notices is tested with real sessions (tests/system)."""

import os
import signal
from pathlib import Path

import pytest

from sra.paths import Paths
from sra.remote.logins import card_removal as removal


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that note their arguments in ``called``, as the only ones."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, exit_status: int, says: str = "") -> None:
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/called\necho {says}\nexit {exit_status}\n')
    path.chmod(0o755)


def called(folder: Path) -> list[str]:
    path = folder / "called"
    return path.read_text().splitlines() if path.exists() else []


def test_the_first_locker_that_succeeds_is_enough(programs: Path) -> None:
    program(programs, "xscreensaver-command", 1)
    program(programs, "loginctl", 0, says="yes")
    program(programs, "xdg-screensaver", 0)
    removal.act("lock", {"XDG_SESSION_ID": "c7"})
    assert called(programs) == [
        "xscreensaver-command -lock",
        "loginctl lock-session",
        "loginctl show-session c7 --property=LockedHint --value",
    ]


def test_logind_alone_locks_nothing(
    programs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(removal, "LOCK_HINT", 0.0)
    program(programs, "loginctl", 0, says="no")
    removal.act("lock", {"XDG_SESSION_ID": "c7"})
    assert "could not be locked" in caplog.text
    program(programs, "xdg-screensaver", 0)
    caplog.clear()
    removal.act("lock", {"XDG_SESSION_ID": "c7"})
    assert (called(programs)[-1], caplog.text) == ("xdg-screensaver lock", "")


def test_a_session_without_a_locker_says_so(programs: Path, caplog: pytest.LogCaptureFixture) -> None:
    removal.act("lock", {})
    assert "could not be locked" in caplog.text


def test_a_session_ends_by_its_manager_or_by_its_leader(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    program(programs, "loginctl", 0)
    removal.act("log-out", {"XDG_SESSION_ID": "c7"})
    assert (called(programs), killed) == (["loginctl terminate-session c7"], [])
    removal.act("log-out", {})
    assert killed == [(os.getsid(0), signal.SIGTERM)]


def test_nothing_is_nothing(programs: Path) -> None:
    program(programs, "loginctl", 0)
    removal.act("nothing", {"XDG_SESSION_ID": "c7"})
    assert called(programs) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "lock"), ('[login]\non_removal = "log-out"\n', "log-out"), ('[login]\non_removal = "dance"\n', "lock")],
)
def test_what_is_set_is_done_and_what_can_not_be_read_locks(tmp_path: Path, text: str, what: str) -> None:
    paths = Paths(tmp_path)
    paths.etc.mkdir(parents=True)
    paths.config.write_text(text)
    assert removal.wanted(paths) == what
