"""How a person gives a PIN: typed without echo, or through a file descriptor.

Never in arguments or the environment, where other processes can read it.
"""

from __future__ import annotations

import getpass
import os
import warnings
from typing import Annotated

import typer

from sra.errors import UsageError

PinFd = Annotated[
    int | None,
    typer.Option("--pin-fd", min=0, metavar="N", help="Read the PIN from this file descriptor, up to a newline."),
]
"""The parameter of every command that needs a PIN."""

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
