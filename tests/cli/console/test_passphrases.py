import os
import pty
import subprocess
import sys

import pytest

from sra.cli.console.passphrases import PASSPHRASE, read_new_passphrase, read_passphrase
from sra.errors import UsageError

ASK = "from sra.cli.console.passphrases import read_new_passphrase as read; print('got', read('Passphrase: ', None))"


def descriptor(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.mark.parametrize("content", [b"correct horse\n", b"correct horse", b"correct horse\r\n", b"correct horse\nx\n"])
def test_it_ends_with_its_line(content: bytes) -> None:
    assert read_passphrase("", descriptor(content)) == b"correct horse"
    assert read_new_passphrase("", descriptor(content)) == b"correct horse"


def test_what_follows_the_line_is_left_alone() -> None:
    reading = descriptor(b"one\ntwo\nrest")
    assert (read_passphrase("", reading), read_passphrase("", reading)) == (b"one", b"two")
    assert os.read(reading, 100) == b"rest"


def test_one_that_is_too_long_is_an_error() -> None:
    assert len(read_passphrase("", descriptor(b"x" * PASSPHRASE.most))) == PASSPHRASE.most
    with pytest.raises(UsageError, match="too long"):
        read_passphrase("", descriptor(b"x" * (PASSPHRASE.most + 1)))


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_none_is_an_error(content: bytes) -> None:
    with pytest.raises(UsageError, match="No passphrase"):
        read_passphrase("", descriptor(content))


def test_a_descriptor_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read_passphrase("", 9999)


def at_terminal(*typed: bytes) -> str:
    """What a process says that is asked at a terminal of its own, and all that the terminal shows."""
    master, slave = pty.openpty()
    shown = b""
    command = [sys.executable, "-c", ASK]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        os.close(slave)
        for number, line in enumerate(typed, 1):
            while shown.count(b": ") < number:
                shown += os.read(master, 4096)
            os.write(master, line)
        process.wait(20)
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    return shown.decode()


def test_a_person_types_it_twice_and_sees_nothing_of_it() -> None:
    shown = at_terminal(b"correct horse\n", b"correct horse\n")
    assert "got b'correct horse'" in shown
    assert shown.count("horse") == 1


def test_two_that_differ_are_an_error() -> None:
    assert "differ" in at_terminal(b"correct horse\n", b"correct house\n")


def test_without_a_terminal_the_way_to_give_it_is_named() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ASK],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    assert "--passphrase-fd" in ended.stderr
