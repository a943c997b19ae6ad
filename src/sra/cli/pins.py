"""How a person gives a PIN or a PUK: typed without echo, or through a file descriptor.

Never in arguments or the environment, where other processes can read it.
"""

from __future__ import annotations

import getpass
import os
import warnings
from typing import Annotated

import typer

from sra.cli import terminal
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

_MAX_LINE = 64
"""Bytes read from a file descriptor: a PIN has at most 8, and whatever is longer is none."""


def read_pin(prompt: str, pin_fd: int | None) -> bytes:
    """The PIN typed at ``prompt``, or the one that stands in ``pin_fd``; raise ``UsageError`` if there is none."""
    pin = _ask(prompt) if pin_fd is None else _read_line(pin_fd)
    if not pin:
        raise UsageError("No PIN was given.")
    return pin


def read_new_pin(prompt: str, pin_fd: int | None) -> bytes:
    """A PIN to be set: a person types it twice; raise ``UsageError`` if the two differ."""
    pin = read_pin(prompt, pin_fd)
    if pin_fd is None and read_pin("The same PIN again: ", None) != pin:
        raise UsageError("The two PINs differ; try again.")
    return pin


async def ask_code(prompt: str, descriptor: int | None, name: str = "PIN") -> bytes:
    """``read_pin`` while a card is open: the event loop goes on, and Ctrl-C ends it."""
    code = await _ask_at_terminal(prompt) if descriptor is None else _read_line(descriptor)
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


def _ask(prompt: str) -> bytes:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt).encode()
    except (getpass.GetPassWarning, EOFError, OSError) as error:
        raise UsageError("There is no terminal to ask for the PIN at; give it with --pin-fd N.") from error


def _read_line(descriptor: int) -> bytes:
    """Up to the newline and not a byte further: what follows is somebody else's."""
    line = b""
    try:
        while len(line) < _MAX_LINE and (byte := os.read(descriptor, 1)) not in {b"", b"\n"}:
            line += byte
    except OSError as error:
        raise UsageError(f"File descriptor {descriptor} can't be read: {error.strerror}.") from error
    return line.removesuffix(b"\r")
