"""Makes what the login knows of cards anew: for ``sra remote run``, and for ``sra-logins.service``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sra import logs
from sra.paths import Paths
from sra.programs.run import run_command
from sra.remote.logins.refresh import refresh_until_true


def main() -> None:
    """Run the program with the arguments that it was started with."""
    run_command(_main)


def _main(root: Annotated[Path, typer.Option(help="Where etc/sra and the rest are.")] = Path("/")) -> None:
    """Make the login's files anew from pairings and policy (as root)."""
    os.umask(0o022)
    logs.set_up("warning", sys.stderr)
    refresh_until_true(Paths(root))
