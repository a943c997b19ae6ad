"""Questions at a terminal: a real one, whose other end is the test."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from sra.cli.console import terminal
from sra.errors import UsageError
from tests.loopback import DEADLINE

CTRL_D = b"\x04"


class Terminal:
    """The person's end of a terminal."""

    def __init__(self, person: int, program: int) -> None:
        self._person = person
        self.program = program
        os.set_blocking(person, False)

    def types(self, text: bytes) -> None:
        os.write(self._person, text)

    def shown(self) -> bytes:
        """What has been shown since the last look."""
        parts = b""
        while True:
            try:
                parts += os.read(self._person, 4096)
            except BlockingIOError:
                return parts

    def wait_echoed(self, text: bytes) -> None:
        """Return when the terminal has taken in what was typed."""
        seen = b""
        while text not in seen:
            seen += self.shown()

    async def until_shown(self, text: bytes) -> bytes:
        """All that was shown up to this text."""
        seen = b""
        async with asyncio.timeout(DEADLINE):
            while text not in seen:
                seen += self.shown()
                await asyncio.sleep(0.001)
        return seen

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.program)[3] & termios.ECHO)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    person, program = pty.openpty()
    monkeypatch.setattr(terminal, "TERMINAL", os.ttyname(program))
    yield Terminal(person, program)
    os.close(person)
    os.close(program)


async def ask(screen: Terminal, question: Coroutine[Any, Any, Any], *typed: bytes) -> tuple[Any, bytes]:
    """The answer to the question, and all that was shown."""
    asking = asyncio.create_task(question)
    shown = await screen.until_shown(b"? ")
    for text in typed:
        screen.types(text)
        await asyncio.sleep(0.01)
    answer = await asking
    return answer, shown + screen.shown()


async def test_what_is_typed_is_seen_and_comes_back_without_its_line_end(screen: Terminal) -> None:
    answer, shown = await ask(screen, terminal.ask_line("Name? "), b"Ann\n")
    assert answer == b"Ann"
    assert shown == b"Name? Ann\r\n"


async def test_what_is_hidden_is_not_seen_and_the_line_ends_all_the_same(screen: Terminal) -> None:
    answer, shown = await ask(screen, terminal.ask_line("PIN? ", hidden=True), b"123456\n")
    assert answer == b"123456"
    assert shown == b"PIN? \r\n"
    assert screen.echoes


async def test_nothing_is_echoed_while_a_hidden_question_waits(screen: Terminal) -> None:
    asking = asyncio.create_task(terminal.ask_line("PIN? ", hidden=True))
    await screen.until_shown(b"PIN? ")
    assert not screen.echoes
    screen.types(b"1234")
    await asyncio.sleep(0.02)
    assert screen.shown() == b""
    screen.types(b"56\n")
    assert await asking == b"123456"
    assert screen.echoes


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("before", [b"typed ahead\n", b"typed a"])
async def test_what_was_typed_before_a_question_is_no_answer_to_it(
    screen: Terminal, hidden: bool, before: bytes
) -> None:
    screen.types(before)
    screen.wait_echoed(before.strip())
    answer, _ = await ask(screen, terminal.ask_line("PIN? ", hidden=hidden), b"123456\n")
    assert answer == b"123456"


async def test_corrections_are_the_terminals(screen: Terminal) -> None:
    answer, _ = await ask(screen, terminal.ask_line("PIN? ", hidden=True), b"12x\x7f3456\n")
    assert answer == b"123456"


@pytest.mark.parametrize("hidden", [True, False])
async def test_a_question_that_is_given_up_leaves_the_terminal_as_it_was(screen: Terminal, hidden: bool) -> None:
    before = termios.tcgetattr(screen.program)
    asking = asyncio.create_task(terminal.ask_line("PIN? ", hidden=hidden))
    await screen.until_shown(b"PIN? ")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert screen.echoes
    assert termios.tcgetattr(screen.program) == before


async def test_ctrl_d_is_no_answer(screen: Terminal) -> None:
    with pytest.raises(UsageError, match="not answered"):
        await ask(screen, terminal.ask_line("PIN? ", hidden=True), CTRL_D)
    assert screen.echoes


async def test_a_line_in_two_parts_is_one_answer(screen: Terminal) -> None:
    answer, _ = await ask(screen, terminal.ask_line("Name? "), b"An", CTRL_D, b"n\n")
    assert answer == b"Ann"


async def test_an_endless_answer_is_none(screen: Terminal) -> None:
    part = b"x" * 900 + CTRL_D
    with pytest.raises(UsageError):
        await ask(screen, terminal.ask_line("Name? "), part, part, part)


async def test_without_a_terminal_a_person_is_told_what_to_give_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "TERMINAL", "/nonexistent/tty")
    with pytest.raises(UsageError, match="--pin-fd"):
        await terminal.ask_line("PIN? ")


@pytest.mark.parametrize(
    ("typed", "yes"),
    [
        (b"y", True),
        (b"Y", True),
        (b"yes", True),
        (b" YES ", True),
        (b"", False),
        (b"n", False),
        (b"yess", False),
        (b"j", False),
    ],
)
async def test_only_a_yes_is_a_yes(screen: Terminal, typed: bytes, yes: bool) -> None:
    answer, shown = await ask(screen, terminal.ask_yes_no("Let it? "), typed + b"\n")
    assert answer is yes
    assert b"[y/N]" in shown


async def test_the_event_loop_goes_on_while_a_person_thinks(screen: Terminal) -> None:
    ticks = 0
    asking = asyncio.create_task(terminal.ask_line("Name? "))
    await screen.until_shown(b"Name? ")
    for _ in range(10):
        await asyncio.sleep(0)
        ticks += 1
    assert not asking.done()
    screen.types(b"Ann\n")
    assert await asking == b"Ann"
    assert ticks == 10
