import subprocess
import sys

import pytest
from typer.main import get_command

from sra.cli.commands import PARTS, build


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.module)
def test_a_part_has_the_commands_that_the_table_says(part: object) -> None:
    (words,) = (each.words for each in PARTS if each is part)
    assert tuple(getattr(get_command(build([words[0]])), "commands", {})) == words


@pytest.mark.parametrize("arguments", [[], ["--help"], ["explode"]], ids=str)
def test_help_and_whoever_mistypes_see_every_command(arguments: list[str]) -> None:
    every = {word for part in PARTS for word in part.words}
    assert set(getattr(get_command(build(arguments)), "commands", {})) == every


def test_no_command_loads_the_others() -> None:
    code = "import sys; from sra.cli.commands import build; build(['--debug', 'session', 'list']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name.removeprefix("sra.cli.") for name in loaded if name.startswith("sra.cli.")}
    assert ours & {part.module for part in PARTS} == {"admin.session"}
