"""The product's processes on the two hosts, one by one, and programs that wait for the admin."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.hosts import CHECKOUT, Host
from lab.processes import Process, children, wait_until
from lab.product import PYTHON, World

READERS = ("Secure Remote Access 00 00", "Secure Remote Access 01 00")
AT_ONCE = 1.0
"""Seconds."""


def command_of(pid: int) -> str:
    """A process's command line; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def find(world: World, part: str) -> int:
    """The process id of ``srad`` or of the virtual card of a reader (``sra-card 0``)."""
    name, _, reader = part.partition(" ")
    word = {"srad": "sra.programs.srad", "sra-card": f"--reader {reader} "}[name]
    return next(pid for pid in children(world.service.process.pid) if word in command_of(pid))


def processes(host: Host) -> list[str]:
    """The commands of all processes on a host, but its first one and those that ask."""
    lines = host.run(["ps", "-e", "-o", "pid=,args="]).stdout.splitlines()
    commands = [line.split(maxsplit=1) for line in lines]
    return [command for pid, command in commands if pid != "1" and not command.startswith("ps ")]


class ReaderWatch:
    """What PC/SC on the remote has told of its readers since this was made."""

    def __init__(self, remote: Host) -> None:
        self._watcher = remote.start([PYTHON, "-m", "demo.watch_readers"], folder=CHECKOUT)
        self._watcher.wait_for("watching")

    def told(self, event: str, reader: int = 0) -> int:
        """How often an event was told (``inserted in`` or ``removed from``)."""
        return self._watcher.output.count(f"{event} {READERS[reader]}\n")

    def wait_removed(self, reader: int = 0, within: float = AT_ONCE) -> None:
        """Return when a card was removed since the last time."""
        wait_until(lambda: self.told("removed from", reader), f"reader {reader} to be empty", within)

    def wait_inserted(self, times: int, reader: int = 0, within: float = 10) -> None:
        """Return when a card has been inserted so often."""
        wait_until(lambda: self.told("inserted in", reader) >= times, f"a card in reader {reader}", within)

    def close(self) -> None:
        self._watcher.kill()


@contextmanager
def watching(remote: Host) -> Iterator[ReaderWatch]:
    watch = ReaderWatch(remote)
    try:
        yield watch
    finally:
        watch.close()


@contextmanager
def frozen(process: Process) -> Iterator[None]:
    """The process stands still meanwhile; it can be killed all the same, by ``kill``."""
    pid = process.pid
    parent = parent_of(pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if process.is_running:
            os.kill(parent, signal.SIGCONT)  # nsenter, which stops when its child does, and continues it
            wait_until(lambda: not is_stopped(pid), "the process to go on", 5)


def kill(pid: int) -> None:
    """Kill a process (SIGKILL), and let who waits for it take notice even if that one was stopped."""
    parent = parent_of(pid)
    os.kill(pid, signal.SIGKILL)
    os.kill(parent, signal.SIGCONT)


def parent_of(pid: int) -> int:
    return int(_status(pid, "PPid"))


def is_stopped(pid: int) -> bool:
    return _status(pid, "State").startswith("T")


def _status(pid: int, field: str) -> str:
    """A field of /proc/PID/status; empty once the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


SELECT = "00A4040009A0000003080000100000"
SIGN = "0087119E26 7C24 8200 8120" + "11" * 32 + "00"


def signing(world: World) -> Process:
    """A signature by 9E (P-256) of the card in the first reader, which waits for the admin.

    A key without a PIN, so that nothing else waits before it. ``succeeded`` tells what became of it.
    """
    command = ["opensc-tool", "--reader", "0", "--send-apdu", SELECT, "--send-apdu", SIGN]
    return _waiting(world, command, "KeyRequest")


def logging_in(world: World) -> Process:
    """A login with OpenSC at the card in the first reader, which waits for the admin to give the PIN."""
    return _waiting(world, ["pkcs11-tool", "--slot-index", "0", "--login", "--list-objects"], "PinRequest")


def succeeded(program: Process) -> bool:
    """Whether what ``signing`` or ``logging_in`` began was done in the end; it has to have an end soon."""
    return program.wait(5) == 0 and "7C 4" in program.output


def _waiting(world: World, command: list[str], question: str) -> Process:
    asked = _questions(world, question)
    program = world.remote.start(["sh", "-c", 'exec "$@" 2>&1', "sh", *command])
    wait_until(lambda: _questions(world, question) > asked, f"a {question} on the network", 10)
    return program


def _questions(world: World, question: str) -> int:
    """How often srad has sent one to an admin; the lines of the local port have its address. Traffic must be logged."""
    lines = world.service.process.output.splitlines()
    return sum(line.endswith(f" {question}") and ": > " in line and ":4117: " not in line for line in lines)
