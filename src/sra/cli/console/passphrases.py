"""How a person gives a passphrase."""

from __future__ import annotations

from typing import Annotated

import typer

from sra.cli.console import secret_input
from sra.cli.console.secret_input import Secret

PassphraseFd = Annotated[
    int | None,
    typer.Option("--passphrase-fd", min=0, metavar="N", help="Read the passphrase from this file descriptor."),
]
"""The parameter of every command that needs a passphrase."""

PASSPHRASE = Secret("passphrase", "--passphrase-fd", most=1024)
"""More than anybody types."""


def read_passphrase(prompt: str, descriptor: int | None) -> bytes:
    """The passphrase typed at ``prompt``, or the line in ``descriptor``; raise ``UsageError`` if there is none."""
    return secret_input.demand(PASSPHRASE, prompt, descriptor)


def read_new_passphrase(prompt: str, descriptor: int | None) -> bytes:
    """A passphrase to be set: a person types it twice; raise ``UsageError`` if the two differ."""
    return secret_input.demand_new(PASSPHRASE, prompt, descriptor)
