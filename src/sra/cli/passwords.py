"""How a person gives the password of a file: typed without echo, or through a file descriptor."""

from __future__ import annotations

import getpass
import os
import warnings
from typing import Annotated

import typer

from sra.errors import UsageError

PasswordFd = Annotated[
    int | None,
    typer.Option("--password-fd", min=0, metavar="N", help="Read the PKCS#12 password from this file descriptor."),
]

_MAX_LINE = 1024
"""Bytes of a password; PKCS#12 bounds it nowhere, people do."""


def read_password(prompt: str, descriptor: int | None) -> bytes:
    """The password typed at ``prompt``, or the line that stands in ``descriptor``; it may be empty."""
    if descriptor is not None:
        return _read_line(descriptor)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt).encode()
    except (getpass.GetPassWarning, EOFError, OSError) as error:
        raise UsageError("There is no terminal to ask for a password at; give it with --password-fd N.") from error


def _read_line(descriptor: int) -> bytes:
    line = b""
    try:
        while len(line) < _MAX_LINE and (byte := os.read(descriptor, 1)) not in {b"", b"\n"}:
            line += byte
    except OSError as error:
        raise UsageError(f"File descriptor {descriptor} can't be read: {error.strerror}.") from error
    return line.removesuffix(b"\r")
