"""The table of the shared screen's benchmark, and the tunnel that it measures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import screen
from benchmarks.screen import Outcome, Pair


def outcome(*, screens: float = 60, raw: float = 200, p99: float = 0.3) -> Outcome:
    return Outcome(Pair(70, screens), Pair(400, raw), Pair(0.02, 0.16), Pair(0.04, p99))


@pytest.mark.parametrize(
    ("measured", "verdicts"),
    [
        (outcome(), ["met", "met", "met"]),
        (outcome(screens=55), ["not met", "met", "met"]),
        (outcome(raw=124), ["met", "not met", "met"]),
        (outcome(p99=1.05), ["met", "met", "not met"]),
    ],
)
def test_each_figure_is_held_against_its_target(measured: Outcome, verdicts: list[str]) -> None:
    rows = str(measured).splitlines()[2:]
    assert [row.split(" | ")[-1].removesuffix(" |") for row in rows] == verdicts


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.screen.shutil.which", lambda _: None)
    assert screen.measure() == "A shared screen was not measured: Xvfb and X0tigervnc not installed."


def test_bytes_come_through_the_tunnel_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "ANSWERS", 20)
    with ExitStack() as stack:
        echo = tmp_path / "echo"
        stack.enter_context(screen._echo_server(echo))
        door = stack.enter_context(screen._tunnel(tmp_path / "tunnel", echo))
        assert len(screen._delays(door)) == len(screen._delays(echo)) == 18
