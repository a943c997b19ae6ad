import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from sra import __version__
from sra.cli.main import main
from tests.cli.whole import app

SELF_EXPLANATORY = {("softcard", "list"), ("softcard", "show"), ("softcard", "remove")}
"""Commands whose usage line is the example."""

SRA = str(Path(sys.executable).parent / "sra")


def sra(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SRA, *arguments], capture_output=True, text=True, check=False, timeout=30)


def commands(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every command that does something."""
    below = getattr(command, "commands", {})
    return [words for name, each in below.items() for words in commands(each, (*path, name))] or [path]


def test_the_version_is_printed() -> None:
    ended = sra("--version")
    assert (ended.returncode, ended.stdout) == (0, f"sra {__version__}\n")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(option: str) -> None:
    ended = sra(option)
    assert ended.returncode == 0
    for words in commands(get_command(app)):
        assert f"  {words[0]} " in ended.stdout


def test_without_a_command_there_is_help_and_status_two() -> None:
    ended = sra()
    assert ended.returncode == 2
    assert "Commands:" in ended.stdout + ended.stderr


def test_a_command_that_does_not_exist_is_status_two() -> None:
    ended = sra("explode")
    assert ended.returncode == 2
    assert "No such command" in ended.stderr


@pytest.mark.parametrize("words", sorted({*commands(get_command(app))} - SELF_EXPLANATORY), ids=" ".join)
def test_the_help_of_a_command_has_an_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["sra", *words, "--help"])
    with pytest.raises(SystemExit) as caught:
        main()
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert "Example" in out
    assert f"sra {' '.join(words)}" in out.partition("Example")[2]


def test_debug_shows_where_it_went_wrong(tmp_path: Path) -> None:
    quiet = sra("identity", "show", "--root", str(tmp_path))
    assert len(quiet.stderr.splitlines()) == 1
    told = sra("--debug", "identity", "show", "--root", str(tmp_path))
    assert "Traceback" in told.stderr
    assert told.stderr.endswith(quiet.stderr)
    assert quiet.returncode == told.returncode == 2
