"""``sra connect`` at a terminal of its own: its questions, and Ctrl-C in the middle of them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sra.cards.software.file import CardFolder
from sra.cards.software.maker import CardHolder, CardOrder, make, parse_subject, validity
from sra.identity.certificates import parse
from sra.piv.keys import Algorithm, Slot
from tests.cli.remote_in_thread import RemoteInThread, remote_in_thread
from tests.loopback import HOST, identity

PIN = b"123456"
CTRL_C = b"\x03"
OWN_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from sra.cli.main import main; main()"
PATIENCE = 15.0
"""Seconds for a whole command to get somewhere."""


class Terminal:
    """A terminal with ``sra connect`` at it."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self._person, program = pty.openpty()
        command = [
            sys.executable, "-c", OWN_TERMINAL, "connect", f"{HOST}:{port}",
            "--cards-dir", str(folder / "cards"), "--config-dir", str(folder / "config"), *options,
        ]  # fmt: skip

        self.process = subprocess.Popen(command, stdin=program, stdout=program, stderr=program, start_new_session=True)
        self._program = program
        os.set_blocking(self._person, False)
        self.shown = b""

    def look(self) -> None:
        try:
            self.shown += os.read(self._person, 65536)
        except BlockingIOError:
            time.sleep(0.005)

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            self.look()

    def type(self, text: bytes) -> None:
        os.write(self._person, text)

    def end(self) -> int:
        """The exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown
            self.look()
        self.look()
        return self.process.returncode

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._program)[3] & termios.ECHO)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._person)
        os.close(self._program)


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[RemoteInThread]:
    (tmp_path / "config").mkdir(mode=0o700)
    folder = CardFolder(tmp_path / "cards")
    folder.path.mkdir(mode=0o700)
    valid = validity(datetime.now(UTC), days=9)
    order = CardOrder({Slot.AUTHENTICATION: Algorithm.P256}, CardHolder(parse_subject("Ann")), None, valid)
    folder.create("ann", make(order, PIN, b"PUKPUKPU"))
    with remote_in_thread() as running:
        (stored,) = folder.read("ann").keys
        running.remote.accounts.paired[parse(stored.certificate).fingerprint] = "ann-account"
        yield running


def test_the_pin_is_typed_unseen_and_ctrl_c_ejects_the_card(remote: RemoteInThread, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, remote.remote.port, "--fingerprint", identity().fingerprint)
    try:
        terminal.wait_for(b"PIN of software:ann")
        while terminal.echoes:
            terminal.look()
        terminal.type(PIN + b"\n")
        terminal.wait_for(b"The card is inserted")
        assert remote.remote.readers[0].present
        terminal.type(CTRL_C)
        assert terminal.end() == 0
        assert remote.remote.readers[0].present == []
        assert PIN not in terminal.shown
        assert terminal.echoes
    finally:
        terminal.close()


def test_ctrl_c_at_the_pin_question_leaves_the_terminal_as_it_was(remote: RemoteInThread, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, remote.remote.port, "--fingerprint", identity().fingerprint)
    try:
        terminal.wait_for(b"PIN of software:ann")
        while terminal.echoes:
            terminal.look()
        terminal.type(b"12" + CTRL_C)
        assert terminal.end() == 0
        assert terminal.echoes
        assert b"Traceback" not in terminal.shown
        assert remote.remote.records.events == []
    finally:
        terminal.close()


def test_ctrl_c_at_the_question_for_the_fingerprint_ends_it_and_nothing_is_remembered(
    remote: RemoteInThread, tmp_path: Path
) -> None:
    terminal = Terminal(tmp_path, remote.remote.port)
    try:
        terminal.wait_for(b"Trust it?")
        assert identity().fingerprint.encode() in terminal.shown
        terminal.type(CTRL_C)
        assert terminal.end() == 0
        assert b"Traceback" not in terminal.shown
        assert not (tmp_path / "config" / "known_remotes").exists()
    finally:
        terminal.close()


def test_a_no_to_the_fingerprint_is_no_trust(remote: RemoteInThread, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, remote.remote.port)
    try:
        terminal.wait_for(b"Trust it?")
        terminal.type(b"\n")
        assert terminal.end() == 6
    finally:
        terminal.close()


def test_a_wrong_pin_may_be_typed_again(remote: RemoteInThread, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, remote.remote.port, "--fingerprint", identity().fingerprint)
    try:
        terminal.wait_for(b"PIN of software:ann")
        terminal.type(b"999999\n")
        terminal.wait_for(b"2 tries")
        while terminal.echoes:
            terminal.look()
        terminal.type(PIN + b"\n")
        terminal.wait_for(b"The card is inserted")
        terminal.type(CTRL_C)
        assert terminal.end() == 0
    finally:
        terminal.close()
