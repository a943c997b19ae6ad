"""X0tigervnc on a display, as a user without rights, at a UNIX socket that only this user and root can reach."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sra.errors import SraError

PROGRAM = "X0tigervnc"
"""The server itself; Debian's x0tigervncserver is a script around it."""
PAM_SERVICE = "sra-vnc"
START_DEADLINE = 5.0
"""Seconds until the server takes connections."""
STOP_DEADLINE = 2.0
"""Seconds for it to end; then it is killed."""
LOOK_AGAIN = 0.01
WENT_AWAY = "The screen went away: somebody logged out there, or its X server ended."
PATH = "/usr/bin:/bin"
"""Where programs of the screen's account are."""
PACKAGES = {PROGRAM: "tigervnc-scraping-server", "xmessage": "x11-utils", "wayvnc": "wayvnc", "swaynag": "sway"}
"""Debian's, for each program."""
_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

_VIEW_ONLY = ("-AcceptKeyEvents=0", "-AcceptPointerEvents=0")


class ServerError(SraError):
    """The screen server can't be started."""


@dataclass(frozen=True)
class VncAccount:
    """The local user that the server runs as, and whose password opens it."""

    name: str
    uid: int
    gid: int


def arguments(display: str, socket: Path, account: VncAccount, *, view_only: bool) -> tuple[str, ...]:
    """The server's command line. It says nothing secret: everybody can read it.

    ``Plain`` sends the password in clear, and is alone in being checked in full by PAM and needing no certificate of
    its own: it never leaves this machine but inside the admin's TLS stream.
    """
    return (
        PROGRAM, f"-display={display}", f"-rfbunixpath={socket}", "-rfbunixmode=384", "-rfbport=-1",
        "-SecurityTypes=Plain", f"-PlainUsers={account.name}", f"-PAMService={PAM_SERVICE}",
        "-NeverShared=1", "-DisconnectClients=0", "-UseBlacklist=0", "-AcceptSetDesktopSize=0",
        "-desktop=Secure Remote Access", "-Log=*:stderr:0", *(_VIEW_ONLY if view_only else ()),
    )  # fmt: skip


def environment(display: str, cookies: Path) -> dict[str, str]:
    """What programs of the screen's account need to know; nothing of this process's own environment."""
    return {"DISPLAY": display, "XAUTHORITY": str(cookies), "PATH": PATH, "HOME": "/nonexistent"}


def require(program: str, path: str = PATH) -> None:
    """Raise ``ServerError`` if it is not installed."""
    if shutil.which(program, path=path) is None:
        raise ServerError(f"{program} is not installed on the remote (Debian: {PACKAGES.get(program, program)}).")


async def start(
    argv: Sequence[str],
    account: VncAccount,
    values: dict[str, str],
    *,
    passed: Sequence[int] = (),
    stdout: int = asyncio.subprocess.DEVNULL,
) -> asyncio.subprocess.Process:
    """Run a program as the screen's account; it ends with this process, however that ends.

    ``passed``: descriptors that it is given under the same numbers.
    """
    pipes = Pipes(asyncio.subprocess.DEVNULL, stdout, tuple(passed))
    return await _start(argv, account, values, pipes, _end_with_parent)


async def start_surviving(
    argv: Sequence[str], account: VncAccount, values: dict[str, str]
) -> asyncio.subprocess.Process:
    """Run a program as the screen's account that is told by the end of its input when this process has ended."""
    return await _start(argv, account, values, Pipes(asyncio.subprocess.PIPE, asyncio.subprocess.PIPE), None)


@dataclass(frozen=True)
class Pipes:
    """What a program reads and writes, and further descriptors that it is given."""

    stdin: int
    stdout: int
    passed: tuple[int, ...] = ()


async def _start(
    argv: Sequence[str],
    account: VncAccount,
    values: dict[str, str],
    pipes: Pipes,
    preparation: Callable[[], None] | None,
) -> asyncio.subprocess.Process:
    require(argv[0], values["PATH"])
    uid, gid, groups = _rights(account)
    return await asyncio.create_subprocess_exec(
        *argv,
        user=uid,
        group=gid,
        extra_groups=groups,
        env=values,
        cwd="/",
        stdin=pipes.stdin,
        stdout=pipes.stdout,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=pipes.passed,
        preexec_fn=preparation,
    )


def _rights(account: VncAccount) -> tuple[int | None, int | None, list[int] | None]:
    """Whose a program becomes: user, group and further groups; without root it stays our own."""
    return (account.uid, account.gid, []) if os.geteuid() == 0 else (None, None, None)


async def wait_until_it_listens(process: asyncio.subprocess.Process, socket: Path, name: str = PROGRAM) -> None:
    """Return when the server has made its socket; ``ServerError`` if it ends before, or takes too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_DEADLINE
    while not socket.exists():  # noqa: ASYNC240 - one stat(2); no server has a way to say that it listens
        if process.returncode is not None:
            raise ServerError(f"{name} can't use the display.")
        if loop.time() > deadline:
            raise ServerError(f"{name} does not begin to listen.")
        await asyncio.sleep(LOOK_AGAIN)


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a program; returns when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_DEADLINE):
                await process.wait()
                return


def _end_with_parent() -> None:
    """In the new process, as its own user: the kernel ends it when the helper is gone, killed perhaps."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
