"""Somebody else ends the question while its answer is being typed: at a terminal with a shell behind the program."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

PATIENCE = 20.0
SHELL = """\
"$@"
printf 'ready '
read -r line
printf 'the shell read <%s>' "$line"
"""
PROGRAM = """\
import asyncio, sys
from contextlib import suppress
from sra.cli.console import terminal

async def ask(prompt, hidden, seconds):
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            print(f"got <{(await terminal.ask_line(prompt, hidden=hidden)).decode()}>")

async def main():
    for number, (hidden, seconds) in enumerate(QUESTIONS):
        await ask(f"Q{number}? ", hidden, seconds)

with terminal.kept_quiet():
    asyncio.run(main())
"""
LEADER = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Person:
    """Who types at a terminal of their own, and sees what it shows."""

    def __init__(self, questions: object) -> None:
        self._keys, program = pty.openpty()
        code = f"QUESTIONS = {questions!r}\n{PROGRAM}"
        command = ["sh", "-c", SHELL, "sh", sys.executable, "-c", code]
        leader = [sys.executable, "-c", LEADER, *command]
        self._shell = subprocess.Popen(leader, stdin=program, stdout=program, stderr=program, start_new_session=True)
        os.close(program)
        os.set_blocking(self._keys, False)
        self.shown = b""

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            try:
                self.shown += os.read(self._keys, 65536)
            except BlockingIOError:
                time.sleep(0.005)

    def type(self, text: bytes, pause: float = 0.1) -> None:
        """Key by key, as people do."""
        for number in range(len(text)):
            os.write(self._keys, text[number : number + 1])
            time.sleep(pause)

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._keys)


@pytest.fixture
def people() -> Iterator[list[Person]]:
    people: list[Person] = []
    yield people
    for person in people:
        person.close()


def test_the_rest_of_a_pin_is_neither_seen_nor_the_shells(people: list[Person]) -> None:
    people.append(person := Person([(True, 0.5)]))
    person.wait_for(b"Q0? ")
    person.type(b"27")
    person.wait_for(b"The question is gone")
    person.type(b"1828\n")
    person.wait_for(b"ready ")
    person.type(b"ls\n")
    person.wait_for(b"the shell read <ls>")
    assert b"1828" not in person.shown.replace(b"\r\n", b"")


@pytest.mark.parametrize("hidden", [True, False])
def test_the_rest_of_a_pin_is_no_answer_to_the_next_question(people: list[Person], hidden: bool) -> None:
    people.append(person := Person([(True, 0.5), (hidden, 30)]))
    person.wait_for(b"Q0? ")
    person.type(b"27")
    person.wait_for(b"The question is gone")
    person.type(b"1828\n")
    assert b"Q1?" not in person.shown
    person.wait_for(b"Q1? ")
    person.type(b"7654\n")
    person.wait_for(b"got <7654>")
    assert b"1828" not in person.shown
    assert (b"7654\r\n" in person.shown) is not hidden


def test_where_nothing_was_cut_off_the_shell_has_the_terminal_as_it_was(people: list[Person]) -> None:
    people.append(person := Person([(True, 30)]))
    person.wait_for(b"Q0? ")
    person.type(b"271828\n", pause=0)
    person.wait_for(b"got <271828>")
    person.wait_for(b"ready ")
    person.type(b"ls\n")
    person.wait_for(b"ls\r\n")
    person.wait_for(b"the shell read <ls>")
