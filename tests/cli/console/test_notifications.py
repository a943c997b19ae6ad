"""A notification where there is a desktop, and nothing where there is none."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sra.cli.console import notifications


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A desktop whose notifications are written to this file, one word a line."""
    program, shown = tmp_path / "notify-send", tmp_path / "shown"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{shown}.new && mv {shown}.new {shown}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":0")
    return shown


def words(shown: Path) -> list[str]:
    deadline = time.monotonic() + 10
    while not shown.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return shown.read_text().splitlines()


def test_it_is_shown_as_one_clean_text(desktop: Path) -> None:
    notifications.show("--urgency=critical\n\x1b[31m <b>&")
    assert words(desktop)[1:] == ["--", "Secure Remote Access", "--urgency=critical??[31m &lt;b&gt;&amp;"]


def test_without_a_desktop_nothing_is_started(desktop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    notifications.show("text")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    notifications.show("second")
    assert words(desktop)[-1] == "second"


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_a_program_that_can_not_be_run_is_no_failure(desktop: Path, mode: int) -> None:
    program = desktop.with_name("notify-send")
    program.write_text("#!/nonexistent/interpreter\n")
    program.chmod(mode)
    notifications.show("text")
    assert not desktop.exists()
