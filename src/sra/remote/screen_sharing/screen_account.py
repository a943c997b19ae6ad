"""The screen's account, a user without rights, and running programs as it: servers, notices, questions, recorders."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sra.errors import SraError

START_DEADLINE = 5.0
"""Seconds until a screen server takes connections."""
STOP_DEADLINE = 2.0
"""Seconds for a program to end; then it is killed."""
LOOK_AGAIN = 0.01
WENT_AWAY = "The screen went away: the person there logged out, or its X server ended."
PATH = "/usr/bin:/bin"
"""Where programs of the screen's account are."""
PACKAGES = {
    "X0tigervnc": "tigervnc-scraping-server",
    "xmessage": "x11-utils",
    "wayvnc": "wayvnc",
    "swaynag": "sway",
}
"""Debian's, for each program."""
_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class ServerError(SraError):
    """The screen server can't be started."""


@dataclass(frozen=True)
class ScreenAccount:
    """The local user that the screen server runs as, and whose password opens it."""

    name: str
    uid: int
    gid: int


def require(program: str, path: str = PATH) -> None:
    """Raise ``ServerError`` if the program is not installed."""
    if shutil.which(program, path=path) is None:
        raise ServerError(f"{program} is not installed on the remote (Debian: {PACKAGES.get(program, program)}).")


async def start(
    argv: Sequence[str],
    account: ScreenAccount,
    values: dict[str, str],
    *,
    stdout: int = asyncio.subprocess.DEVNULL,
    passed: Sequence[int] = (),
    outlives_us: bool = False,
) -> asyncio.subprocess.Process:
    """Run a program as the screen's account, with ``values`` as its environment; it ends with this process.

    ``passed``: descriptors that it is given under the same numbers. ``outlives_us``: it is not killed with this
    process but told, by the end of its input, so that it can put something in order before it ends.
    """
    require(argv[0], values["PATH"])
    uid, gid, groups = _rights(account)
    return await asyncio.create_subprocess_exec(
        *argv,
        user=uid,
        group=gid,
        extra_groups=groups,
        env=values,
        cwd="/",
        stdin=asyncio.subprocess.PIPE if outlives_us else asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=tuple(passed),
        preexec_fn=None if outlives_us else _end_with_parent,
    )


def _rights(account: ScreenAccount) -> tuple[int | None, int | None, list[int] | None]:
    """The user, group and further groups that a program gets; without root they stay this process's own."""
    return (account.uid, account.gid, []) if os.geteuid() == 0 else (None, None, None)


def _end_with_parent() -> None:
    """In the new process, as its own user: have the kernel end it when the helper has ended, perhaps killed."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def wait_until_it_listens(process: asyncio.subprocess.Process, socket: Path, name: str) -> None:
    """Return when the server has made its socket; raise ``ServerError`` if it ends before, or takes too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_DEADLINE
    while not socket.exists():  # noqa: ASYNC240 - one stat(2); no server has a way to say that it listens
        if process.returncode is not None:
            raise ServerError(f"{name} can't use the display.")
        if loop.time() > deadline:
            raise ServerError(f"{name} does not begin to listen.")
        await asyncio.sleep(LOOK_AGAIN)
