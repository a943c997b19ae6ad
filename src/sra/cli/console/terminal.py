"""Questions to the person at the terminal, without holding up the event loop: Ctrl-C and a lost link end them.

A remote can end a question in the middle of a PIN, and its connection with it. Whatever is typed on must not be seen,
nor be the answer to the next question, nor a line for the shell: see ``kept_quiet`` and ``_wait_calm``.
"""

from __future__ import annotations

import asyncio
import os
import select
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sra.errors import UsageError

TERMINAL = "/dev/tty"
MAX_LINE = 1024
"""Bytes of an answer: what a terminal in line mode passes on at most is 4,096."""
CALM = 1.0
"""Seconds without a key after which nobody goes on typing the answer to a question that is gone."""
CUT_LATELY = 5.0
"""Seconds after the end of a question within which somebody may still be answering it."""
PATIENCE = 15.0
"""Seconds that the end of a program waits for calm: somebody may lean on the keyboard."""
WITHDRAWN = b"\nThe question is gone; what is typed now goes nowhere.\n"

_LOCAL_MODES = 3
"""The place of c_lflag (termios(3)) in Python's list."""


class _Typing:
    """When a question was last taken away from whoever may have been answering it."""

    cut_at = float("-inf")

    @property
    def may_go_on(self) -> bool:
        return time.monotonic() - self.cut_at < CUT_LATELY


_typing = _Typing()


def is_there() -> bool:
    """Whether there is a terminal to ask at."""
    try:
        os.close(_open())
    except OSError:
        return False
    return True


def _open() -> int:
    """The terminal, which is the caller's to close; raise ``OSError`` if there is none."""
    return os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


async def ask_line(prompt: str, *, hidden: bool = False) -> bytes:
    """The line that the person types, without its end; ``hidden`` shows nothing of it (for a PIN).

    Raises ``UsageError`` where there is no terminal, or when it ends (Ctrl-D).
    """
    with _opened() as descriptor:
        await _wait_calm(descriptor)
        with _modes(descriptor, echo=not hidden):
            os.write(descriptor, prompt.encode())
            try:
                line = await _read_line(descriptor)
            except asyncio.CancelledError:
                _typing.cut_at = time.monotonic()
                termios.tcflush(descriptor, termios.TCIFLUSH)
                os.write(descriptor, WITHDRAWN)
                raise
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
def kept_quiet() -> Iterator[None]:
    """While this is entered only a question shows what is typed, and afterwards nothing of it is left to be read.

    For a program whose questions somebody else can end. Without a terminal, or in the background, it does nothing.
    """
    try:
        descriptor = _open()
    except OSError:
        yield
        return
    try:
        if not _is_foreground(descriptor):
            yield
            return
        before = termios.tcgetattr(descriptor)
        _set_modes(descriptor, before, echo=False)
        try:
            yield
        finally:
            if _is_foreground(descriptor):
                _let_typing_end(descriptor, before)
                termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
    finally:
        os.close(descriptor)


def _is_foreground(descriptor: int) -> bool:
    """Whether the terminal is this program's to set; the kernel stops one in the background that tries."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # it was hung up
        return False


def _let_typing_end(descriptor: int, before: list[Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    if not _typing.may_go_on:
        return
    _set_modes(descriptor, before, echo=False, lines=False)
    while time.monotonic() < deadline and select.select([descriptor], [], [], CALM)[0]:
        if not os.read(descriptor, MAX_LINE):
            return


@contextmanager
def _opened() -> Iterator[int]:
    try:
        descriptor = _open()
    except OSError as error:
        raise UsageError(
            "There is no terminal to ask on: give the PIN with --pin-fd and the fingerprint with --fingerprint."
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _modes(descriptor: int, *, echo: bool, lines: bool = True) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    try:
        _set_modes(descriptor, before, echo=echo, lines=lines)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _set_modes(descriptor: int, before: list[Any], *, echo: bool, lines: bool = True) -> None:
    """What was typed before is dropped: it is no answer to what is asked now."""
    modes = list(before)
    flags = modes[_LOCAL_MODES]
    for wanted, flag in ((echo, termios.ECHO), (lines, termios.ICANON)):
        flags = flags | flag if wanted else flags & ~flag
    modes[_LOCAL_MODES] = flags
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, modes)


async def _wait_calm(descriptor: int) -> None:
    """Return at once, or, when a question has just been taken away, as soon as no key was pressed for a moment."""
    if not _typing.may_go_on:
        return
    with _modes(descriptor, echo=False, lines=False):
        while await _is_pressed(descriptor):
            if not os.read(descriptor, MAX_LINE):
                raise UsageError("The question was not answered.")


async def _is_pressed(descriptor: int) -> bool:
    try:
        async with asyncio.timeout(CALM):
            await _wait_readable(descriptor)
    except TimeoutError:
        return False
    return True


async def _read_line(descriptor: int) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        await _wait_readable(descriptor)
        part = os.read(descriptor, MAX_LINE)
        if not part or len(line) > MAX_LINE:
            raise UsageError("The question was not answered.")
        line += part
    return bytes(line[:-1])


async def _wait_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
