"""How a person gives the password of a file."""

from __future__ import annotations

from typing import Annotated

import typer

from sra.cli.console import secret_input
from sra.cli.console.secret_input import Secret

PasswordFd = Annotated[
    int | None,
    typer.Option("--password-fd", min=0, metavar="N", help="Read the PKCS#12 password from this file descriptor."),
]

PASSWORD = Secret("password", "--password-fd", most=1024)
"""PKCS#12 bounds it nowhere, people do."""


def read_password(prompt: str, descriptor: int | None) -> bytes:
    """The password typed at ``prompt``, or the line that stands in ``descriptor``; it may be empty."""
    return secret_input.ask(PASSWORD, prompt, descriptor)
