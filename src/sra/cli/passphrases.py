"""How a person gives a passphrase: typed without echo, or through a file descriptor; never in arguments."""

from __future__ import annotations

import getpass
import os
import warnings
from typing import Annotated

import typer

from sra.errors import UsageError

MAX_PASSPHRASE = 1024
"""Bytes: more than anybody types."""

PassphraseFd = Annotated[
    int | None,
    typer.Option("--passphrase-fd", min=0, metavar="N", help="Read the passphrase from this file descriptor."),
]
"""The parameter of every command that needs a passphrase."""


def read_passphrase(prompt: str, descriptor: int | None) -> bytes:
    """The passphrase typed at ``prompt``, or the line in ``descriptor``; raise ``UsageError`` if there is none."""
    typed = _ask(prompt) if descriptor is None else _read_line(descriptor)
    if not typed:
        raise UsageError("No passphrase was given.")
    return typed


def read_new_passphrase(prompt: str, descriptor: int | None) -> bytes:
    """A passphrase to be set: a person types it twice; raise ``UsageError`` if the two differ."""
    typed = read_passphrase(prompt, descriptor)
    if descriptor is None and read_passphrase("The same passphrase again: ", None) != typed:
        raise UsageError("The two passphrases differ; try again.")
    return typed


def _ask(prompt: str) -> bytes:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt).encode()
    except (getpass.GetPassWarning, EOFError, OSError) as error:
        text = "There is no terminal to ask for the passphrase at; give it with --passphrase-fd N."
        raise UsageError(text) from error


def _read_line(descriptor: int) -> bytes:
    """Up to the newline; what is longer than a passphrase may be is none."""
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) <= MAX_PASSPHRASE:
            if not (byte := os.read(descriptor, 1)):
                break
            line += byte
    except OSError as error:
        raise UsageError(f"File descriptor {descriptor} can't be read: {error.strerror}.") from error
    return line.removesuffix(b"\n").removesuffix(b"\r") if len(line) <= MAX_PASSPHRASE else b""
