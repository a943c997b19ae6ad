"""A program that runs on a host while the test goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import AnyStr


class LabError(Exception):
    """A host, or a program on it, did not do what it was made for."""


class Process:
    """A program on a host; ``log`` is the file that it writes to.

    What is started is ``nsenter``, which waits for the program, its only child, and ends as it ends.
    """

    def __init__(self, entered: subprocess.Popen[bytes], log: int) -> None:
        self._entered = entered
        self._log = log

    @property
    def pid(self) -> int:
        """The program's process id as the machine counts, not the host."""
        return program_of(self._entered)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._entered.poll() is None

    @property
    def output(self) -> str:
        """Everything that it has written so far, to standard output and error."""
        return os.pread(self._log, os.fstat(self._log).st_size, 0).decode(errors="backslashreplace")

    def wait(self, timeout: float = 30) -> int:
        """Its exit status, negative for a signal; raise ``LabError`` if it runs longer than ``timeout`` seconds."""
        try:
            return self._entered.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"still running after {timeout} s:\n{self.output}") from error

    def wait_for(self, text: str, timeout: float = 10) -> None:
        """Return when its output has ``text``; raise ``LabError`` if it ends before, or takes longer."""
        try:
            wait_until(lambda: text in self.output or not self.is_running, repr(text), timeout)
        except LabError as error:
            raise LabError(f"{error}:\n{self.output}") from None
        if text not in self.output:
            raise LabError(f"ended without {text!r}:\n{self.output}")

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, with every process that it started in its session, and wait for it."""
        end(self._entered)

    def close(self) -> None:
        """End it at once and let its log go; a second time does nothing."""
        if self._log >= 0:
            self.kill()
            os.close(self._log)
            self._log = -1


def program_of(entered: subprocess.Popen[AnyStr]) -> int:
    """The process id of the program that nsenter runs, or nsenter's own once it has ended."""
    wait_until(lambda: children(entered.pid) or entered.poll() is not None, "the program's start", timeout=5)
    return next(iter(children(entered.pid)), entered.pid)


def end(entered: subprocess.Popen[AnyStr]) -> None:
    """End the program that nsenter runs, and the processes of its session.

    The program goes first: it is nsenter that has to bury it. Without nsenter it would stay unburied until the
    machine's first process comes round, which may take seconds, and the host could not end before.
    """
    if entered.poll() is None:
        os.kill(program_of(entered), signal.SIGKILL)
        os.waitid(os.P_PID, entered.pid, os.WEXITED | os.WNOWAIT)
        os.killpg(entered.pid, signal.SIGKILL)
    entered.wait()


def children(pid: int) -> list[int]:
    """The child processes of a process; none if it has ended."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def wait_until(ready: Callable[[], object], what: str, timeout: float) -> None:
    """Return when ``ready()`` is true; raise ``LabError`` that names ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.002)
