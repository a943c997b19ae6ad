"""How a person gives a secret: typed without echo, or through a file descriptor.

Never in arguments or the environment, where other processes can read it.
"""

from __future__ import annotations

import getpass
import os
import warnings
from dataclasses import dataclass

from sra.errors import UsageError


@dataclass(frozen=True)
class Secret:
    """What is asked for: its ``name`` in messages, the ``option`` that names a descriptor, and the ``most`` bytes."""

    name: str
    option: str
    most: int


def ask(secret: Secret, prompt: str, descriptor: int | None) -> bytes:
    """What is typed at ``prompt``, or the line that stands in ``descriptor``; it may be empty."""
    if descriptor is not None:
        return read_line(secret, descriptor)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt).encode()
    except (getpass.GetPassWarning, EOFError, OSError) as error:
        text = f"There is no terminal to ask for the {secret.name} at; give it with {secret.option} N."
        raise UsageError(text) from error


def demand(secret: Secret, prompt: str, descriptor: int | None) -> bytes:
    """``ask``; raise ``UsageError`` if nothing is given."""
    given = ask(secret, prompt, descriptor)
    if not given:
        raise UsageError(f"No {secret.name} was given.")
    return given


def demand_new(secret: Secret, prompt: str, descriptor: int | None) -> bytes:
    """One to be set: a person types it twice; raise ``UsageError`` if the two differ."""
    given = demand(secret, prompt, descriptor)
    if descriptor is None and demand(secret, f"The same {secret.name} again: ", None) != given:
        raise UsageError(f"The two {secret.name}s differ; try again.")
    return given


def read_line(secret: Secret, descriptor: int) -> bytes:
    """Up to the newline and not a byte further: what follows is somebody else's."""
    line = b""
    try:
        while (byte := os.read(descriptor, 1)) not in {b"", b"\n"}:
            if len(line) == secret.most:
                raise UsageError(f"That is too long for a {secret.name}.")
            line += byte
    except OSError as error:
        raise UsageError(f"File descriptor {descriptor} can't be read: {error.strerror}.") from error
    return line.removesuffix(b"\r")
