"""Questions to the person at the terminal, without holding up the event loop: Ctrl-C and a lost link end them."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from sra.errors import UsageError

TERMINAL = "/dev/tty"
MAX_LINE = 1024
"""Bytes of an answer: what a terminal in line mode passes on at most is 4,096."""


async def ask_line(prompt: str, *, hidden: bool = False) -> bytes:
    """The line that the person types, without its end; ``hidden`` shows nothing of it (for a PIN).

    Raises ``UsageError`` where there is no terminal, or when it ends (Ctrl-D).
    """
    with _terminal(hidden=hidden) as descriptor:
        os.write(descriptor, prompt.encode())
        line = await _read_line(descriptor)
        if hidden:
            os.write(descriptor, b"\n")
    return line


async def ask_yes_no(prompt: str) -> bool:
    """Whether the person says yes; Enter alone is no."""
    return is_yes(await ask_line(f"{prompt} [y/N] "))


def is_yes(line: bytes) -> bool:
    """Whether what was typed means yes."""
    return line.strip().lower() in (b"y", b"yes")


@contextmanager
def _terminal(*, hidden: bool) -> Iterator[int]:
    try:
        descriptor = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(
            "There is no terminal to ask on: give the PIN with --pin-fd and the fingerprint with --fingerprint."
        ) from error
    before = termios.tcgetattr(descriptor)
    quiet = list(before)
    quiet[3] &= ~termios.ECHO if hidden else quiet[3]
    try:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, quiet)  # what was typed before is no answer to this
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        os.close(descriptor)


async def _read_line(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    line = bytearray()
    while not line.endswith(b"\n"):
        ready = asyncio.Event()
        loop.add_reader(descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(descriptor)
        part = os.read(descriptor, MAX_LINE)
        if not part or len(line) > MAX_LINE:
            raise UsageError("The question was not answered.")
        line += part
    return bytes(line[:-1])
