"""A program on a host that is started, has an end, and is forgotten."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.hosts import Host
from lab.processes import LabError, end

ENDS_WITHIN = 40.0
"""Seconds: a dead link is found within 10, and a smart card program may try its PIN question more than once."""


class Program:
    """A program that ends by itself. One that does not is ended, and is an error: a program must never hang."""

    def __init__(
        self, host: Host, argv: Sequence[str | Path], *, user: str | None = None, folder: str | Path = "/"
    ) -> None:
        self.name = str(argv[0])
        self.output = ""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed by finish
        self._process = subprocess.Popen(
            host.command(argv, user=user, folder=folder),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def finish(self, within: float = ENDS_WITHIN) -> int:
        """Its exit status, once it has ended; raise ``LabError`` if it takes more than ``within`` seconds."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.name} hangs for {within:.0f} s") from error
        finally:
            end(self._process)
            self._output.seek(0)
            self.output = self._output.read().decode(errors="backslashreplace")
            self._output.close()
