"""Options that several commands share, and how their help is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sra.config import CONFIG_DIR_VARIABLE

Root = Annotated[
    Path, typer.Option("--root", metavar="DIR", help="Work on the remote whose files are in DIR, as for a demo.")
]
ConfigDir = Annotated[
    Path | None,
    typer.Option("--config-dir", metavar="DIR", envvar=CONFIG_DIR_VARIABLE, help="The folder of your own settings."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def examples(*commands: str) -> str:
    """An epilog that shows how a command is used, a line each."""
    return "\n".join(("\b", "Example:" if len(commands) == 1 else "Examples:", *(f"  {line}" for line in commands)))
