import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from sra import __version__
from sra.cli.main import PARTS, build, main
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


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.module)
def test_a_part_has_the_commands_that_the_table_says(part: object) -> None:
    (words,) = (each.words for each in PARTS if each is part)
    assert tuple(getattr(get_command(build([words[0]])), "commands", {})) == words


@pytest.mark.parametrize("arguments", [[], ["--help"], ["explode"]], ids=str)
def test_help_and_whoever_mistypes_see_every_command(arguments: list[str]) -> None:
    every = {word for part in PARTS for word in part.words}
    assert set(getattr(get_command(build(arguments)), "commands", {})) == every


def test_no_command_loads_the_others() -> None:
    code = "import sys; from sra.cli.main import build; build(['--debug', 'session', 'list']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name.removeprefix("sra.cli.") for name in loaded if name.startswith("sra.cli.")}
    assert ours & {part.module for part in PARTS} == {"admin.session"}
