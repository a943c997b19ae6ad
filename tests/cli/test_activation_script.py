"""``secure_remote_access.sh``: the options of the macOS product, and which commands they become."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "packaging" / "secure_remote_access.sh"


@pytest.fixture
def called(tmp_path: Path) -> Path:
    """A copy of the script as in a checkout, whose sra writes down how it was called."""
    (tmp_path / "packaging").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    sra = tmp_path / ".venv/bin/sra"
    sra.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/called\n')
    sra.chmod(0o755)
    shutil.copy(SCRIPT, tmp_path / "packaging")
    return tmp_path


def script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "packaging" / SCRIPT.name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("options", "called_with"),
    [
        ("-a -g -s", "activate --generate --screen"),
        ("-ags", "activate --generate --screen"),
        ("-s -g -a", "activate --generate --screen"),
        ("-sag", "activate --generate --screen"),
        ("-a", "activate"),
        ("-a -c AB:CD -s", "activate --certificate AB:CD --screen"),
        ("-sac AB:CD", "activate --certificate AB:CD --screen"),
        ("-cABCD -a", "activate --certificate ABCD"),
        ("-a -g -s --virtual-screen", "activate --generate --screen --virtual-screen"),
        ("--virtual-screen -ga", "activate --generate --virtual-screen"),
        ("-d", "deactivate"),
    ],
)
def test_the_script_passes_its_options_on(called: Path, options: str, called_with: str) -> None:
    ended = script(called, *options.split())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (called / "called").read_text().split() == called_with.split()


@pytest.mark.parametrize(
    "options",
    ["", "-g", "-s", "-a -d", "-d -s", "-d -c AB", "-x", "-a -c", "-a extra", "-a --other", "-d --virtual-screen"],
)
def test_the_script_refuses_what_makes_no_sense(called: Path, options: str) -> None:
    ended = script(called, *options.split())
    assert ended.returncode == 2
    assert "Usage: secure_remote_access.sh -a" in ended.stderr
    assert not (called / "called").exists()


def test_the_script_passes_an_empty_fingerprint_on_to_be_refused(called: Path) -> None:
    assert script(called, "-a", "-c", "").returncode == 0
    assert (called / "called").read_text() == "activate\n--certificate\n\n"
    assert script(called, "-d", "-c", "").returncode == 2


def test_a_copy_of_the_script_runs_no_program_that_lies_beside_it(called: Path) -> None:
    (called / "packaging").rename(called / "copy")
    command = [str(called / "copy" / SCRIPT.name), "-a", "-c", "no fingerprint"]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert not (called / "called").exists()


@pytest.mark.parametrize("changed", [".", ".venv", ".venv/bin", ".venv/bin/sra"])
def test_a_program_that_others_can_change_is_not_run(called: Path, changed: str) -> None:
    path = called / changed
    path.chmod(path.stat().st_mode | 0o020)
    ended = script(called, "-a")
    assert ended.returncode == 2
    assert "can be changed by others than root" in ended.stderr
    assert not (called / "called").exists()


def test_a_program_that_is_a_link_is_not_run(called: Path) -> None:
    (called / ".venv").rename(called / "elsewhere")
    (called / ".venv").symlink_to("elsewhere")
    assert script(called, "-a").returncode == 2
    assert not (called / "called").exists()


def test_the_script_explains_itself(called: Path) -> None:
    ended = script(called, "-h")
    assert ended.returncode == 0
    assert "-c FINGERPRINT" in ended.stdout
