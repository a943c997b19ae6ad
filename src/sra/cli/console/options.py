"""Options that several commands share, and how their help is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sra.errors import UsageError
from sra.logs import clean
from sra.paths import CONFIG_DIR_VARIABLE

Root = Annotated[
    Path, typer.Option("--root", metavar="DIR", help="Work on the remote whose files are in DIR, as for a demo.")
]
ConfigDir = Annotated[
    Path | None,
    typer.Option("--config-dir", metavar="DIR", envvar=CONFIG_DIR_VARIABLE, help="The folder of your own settings."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

SESSION_ID = re.compile("[0-9a-f]{8}")


def _session(text: str | None) -> str | None:
    if text is not None and not SESSION_ID.fullmatch(text):
        raise UsageError(f"“{clean(text)}” is no session. “sra connect” shows its 8 digits and letters, as 1a2b3c4d.")
    return text


SessionOption = Annotated[
    str | None,
    typer.Option("--session", metavar="ID", callback=_session, help="Only this session; both sides call it so."),
]


def examples(*commands: str) -> str:
    """An epilog that shows how a command is used, a line each."""
    return "\n".join(("\b", "Example:" if len(commands) == 1 else "Examples:", *(f"  {line}" for line in commands)))
