"""The fuzzing itself: that a mistake in a parser is found, said, kept, and fails the run."""

import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import runs
from fuzz.runs import Fuzzer
from fuzz.target import TARGETS, counted, join_counted, pieces
from tests.fuzz import planted


@pytest.fixture
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep findings, and what is found on the way, out of the tree."""
    monkeypatch.setattr(runs, "BUILD", tmp_path / "build")
    monkeypatch.setattr(runs, "CORPUS", tmp_path / "corpus")
    (tmp_path / "build").mkdir()
    seeds = tmp_path / "corpus" / "planted_error"
    seeds.mkdir(parents=True)
    (seeds / "almost").write_bytes(planted.MAGIC[:3] + b"\xff")


@pytest.mark.usefixtures("_elsewhere")
def test_a_planted_mistake_is_found_and_its_input_kept(tmp_path: Path) -> None:
    (tmp_path / "corpus/planted_error/magic").write_bytes(planted.MAGIC)
    fuzzer = runs.python_fuzzer(TARGETS["planted_error"])
    (outcome,) = runs.run_all([fuzzer], 1.0, 1)
    assert "KeyError: 'planted'" in outcome.finding
    (kept,) = (tmp_path / "build/findings/planted_error").iterdir()
    assert kept.read_bytes() == planted.MAGIC


@pytest.mark.usefixtures("_elsewhere")
def test_a_sound_parser_is_no_finding_and_its_runs_are_counted() -> None:
    (outcome,) = runs.run_all([runs.python_fuzzer(TARGETS["planted_nothing"])], 1.0, 1)
    assert outcome.finding == ""
    assert outcome.executions > 100


@pytest.mark.usefixtures("_elsewhere")
def test_a_fuzzer_that_does_not_even_start_is_a_finding() -> None:
    (outcome,) = runs.run_all([Fuzzer("absent", (sys.executable, "-c", "raise SystemExit(3)"), 10)], 1.0, 1)
    assert "status 3" in outcome.finding


def test_the_command_ends_with_1_after_a_finding() -> None:
    command = (
        sys.executable,
        "-m",
        "fuzz",
        "--rooms",
        "tests.fuzz.planted",
        "--target",
        "planted_delay",
        "--minutes",
        "0.05",
    )
    done = subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "findings 1" in done.stdout
    assert "FINDING in planted_delay" in done.stdout


def test_no_target_of_that_name_is_a_failure() -> None:
    command = (sys.executable, "-m", "fuzz", "--rooms", "tests.fuzz.planted", "--target", "absent", "--minutes", "0.01")
    assert subprocess.run(command, cwd=runs.ROOT, capture_output=True, check=False).returncode == 1


def test_data_is_cut_into_pieces_that_are_all_of_it() -> None:
    for cut in pieces(b"\x02abc"):
        assert b"".join(cut) == b"\x02abc"


def test_counted_strings_are_taken_apart_as_they_were_joined() -> None:
    assert list(counted(join_counted(b"", b"ab", b"c"))) == [b"", b"ab", b"c"]
    assert list(counted(b"\x00\x05ab")) == [b"ab"]
