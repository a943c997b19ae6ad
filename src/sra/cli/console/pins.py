"""How a person gives a PIN or a PUK."""

from __future__ import annotations

from typing import Annotated

import typer

from sra.cli.console import secret_input, terminal
from sra.cli.console.secret_input import Secret
from sra.errors import UsageError

PinFd = Annotated[
    int | None,
    typer.Option("--pin-fd", min=0, metavar="N", help="Read the PIN from this file descriptor, up to a newline."),
]
"""The parameter of every command that needs a PIN."""

PukFd = Annotated[
    int | None,
    typer.Option("--puk-fd", min=0, metavar="N", help="Read the PUK from this file descriptor, up to a newline."),
]
NewPinFd = Annotated[
    int | None,
    typer.Option("--new-pin-fd", min=0, metavar="N", help="Read the new PIN from this file descriptor."),
]
"""They may be the same descriptor, with a line for each."""

PIN = Secret("PIN", "--pin-fd", most=64)
"""It has at most 8 bytes, which the card says; whatever is longer than a line is none."""


def read_pin(prompt: str, pin_fd: int | None) -> bytes:
    """The PIN typed at ``prompt``, or the one that stands in ``pin_fd``; raise ``UsageError`` if there is none."""
    return secret_input.demand(PIN, prompt, pin_fd)


def read_new_pin(prompt: str, pin_fd: int | None) -> bytes:
    """A PIN to be set: a person types it twice; raise ``UsageError`` if the two differ."""
    return secret_input.demand_new(PIN, prompt, pin_fd)


async def ask_code(prompt: str, descriptor: int | None, name: str = "PIN") -> bytes:
    """``read_pin`` while a card is open: the event loop goes on, and Ctrl-C ends it."""
    code = await _ask_at_terminal(prompt) if descriptor is None else secret_input.read_line(PIN, descriptor)
    if not code:
        raise UsageError(f"No {name} was given.")
    return code


async def ask_new_pin(descriptor: int | None) -> bytes:
    """A PIN to be set: a person types it twice; raise ``UsageError`` if the two differ."""
    pin = await ask_code("The new PIN: ", descriptor, "new PIN")
    if descriptor is None and await ask_code("The new PIN again: ", None, "new PIN") != pin:
        raise UsageError("The two new PINs differ, so nothing was changed; try again.")
    return pin


async def _ask_at_terminal(prompt: str) -> bytes:
    try:
        return await terminal.ask_line(prompt, hidden=True)
    except UsageError as error:
        raise UsageError("Nothing was typed at a terminal; give it by --pin-fd, --puk-fd or --new-pin-fd.") from error
