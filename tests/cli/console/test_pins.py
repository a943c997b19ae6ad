"""How a PIN gets in."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from sra.cli.console.pins import read_new_pin, read_pin
from sra.errors import UsageError

ASK = "from sra.cli.console.pins import read_new_pin; print('got', read_new_pin('PIN: ', None))"


def descriptor(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.mark.parametrize("content", [b"123456\n", b"123456", b"123456\r\n", b"123456\nmore\n"])
def test_the_pin_ends_with_its_line(content: bytes) -> None:
    assert read_pin("", descriptor(content)) == b"123456"


def test_what_follows_the_line_is_left_alone() -> None:
    reading = descriptor(b"123456\n654321\nrest")
    assert (read_pin("", reading), read_pin("", reading)) == (b"123456", b"654321")
    assert os.read(reading, 100) == b"rest"


def test_a_new_pin_is_read_once_from_a_descriptor() -> None:
    assert read_new_pin("", descriptor(b"123456\n")) == b"123456"


def test_an_endless_line_is_no_pin() -> None:
    with pytest.raises(UsageError, match="too long for a PIN"):
        read_pin("", descriptor(b"1" * 1000))


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_no_pin_is_an_error(content: bytes) -> None:
    with pytest.raises(UsageError, match="No PIN"):
        read_pin("", descriptor(content))


def test_a_descriptor_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read_pin("", 9999)


def at_terminal(typed: bytes) -> str:
    """What a process says that is asked twice at a terminal of its own, and all that the terminal shows."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", ASK], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        seen = b""
        for line in typed.splitlines(keepends=True):
            while not seen.rstrip(b" ").endswith((b"PIN:", b"again:")):
                seen += os.read(master, 1000)
            os.write(master, line)
            seen += b"|"
        process.wait(10)
        seen += os.read(master, 10_000)
    os.close(master)
    return seen.decode()


def test_a_person_types_it_twice_and_nobody_sees_it() -> None:
    seen = at_terminal(b"123456\n123456\n")
    assert "got b'123456'" in seen
    assert seen.count("123456") == 1


def test_two_different_pins_are_none() -> None:
    assert "The two PINs differ; try again." in at_terminal(b"123456\n123457\n")


def test_without_a_terminal_nothing_is_echoed_or_guessed() -> None:
    run = subprocess.run(
        [sys.executable, "-c", ASK],
        input="123456\n",
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "There is no terminal to ask for the PIN at; give it with --pin-fd N." in run.stderr
    assert run.stdout == ""
