"""``sra``: the commands of both machines. Their exit status is explained in ``sra.programs.run``."""

from __future__ import annotations

import sys

from typer._completion_classes import completion_init

from sra.cli.commands import build
from sra.programs.run import run


def main() -> None:
    """Run ``sra``; where a shell completes a command line, answer that."""
    completion_init()
    run(build(sys.argv[1:]))
