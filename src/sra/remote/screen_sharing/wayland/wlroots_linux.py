"""A Wayland session whose compositor is made of wlroots as a screen: found from the processes, and shared.

It is served by wayvnc, and swaynag tells and asks the person there. Each of these programs is of the screen's account,
and is given a connection to the session: none can reach it by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sra.errors import SraError
from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.screen_account import STOP_DEADLINE, ScreenAccount, ServerError
from sra.remote.screen_sharing.wayland import wayvnc_proxy
from sra.remote.screen_sharing.x11 import displays_linux, vnc_linux
from sra.remote.screen_sharing.x11.displays_linux import FIRST_PERSON, TERMINAL, Display, NoDisplayError, RunningProcess
from sra.system.peer import peer_process_linux
from sra.system.processes import stop

COMPOSITORS = {"sway", "labwc", "wayfire", "river", "cage"}
"""Those that are said to have what wayvnc needs; wayvnc itself finds out whether they do."""
MAX_SOCKETS = 33
"""wayland-0 to wayland-32 are all that libwayland-server tries."""
_CARD = re.compile(r"/dev/dri/card\d+")

Opened = Callable[[int], Sequence[str]]
"""``displays_linux.opened``, or a test's."""

SWAYNAG = "swaynag"
_LINE = (SWAYNAG, "--type", "warning", "--layer", "overlay")
"""A line above everything else."""
ALLOWED = b"allowed\n"
"""What its button has said, since its exit status says nothing."""
TELL_AGAIN = 1.0
"""Seconds after which a notice that was put away is back."""

NOT_SERVED = (
    "wayvnc can't share this session: its compositor has to have wlroots' screencopy, virtual pointer and virtual "
    "keyboard."
)


@dataclass(frozen=True)
class Compositor:
    """The process whose screen it is, and the virtual terminals that it has open."""

    process: RunningProcess
    terminals: frozenset[str] = frozenset()

    @property
    def is_a_persons(self) -> bool:
        """Whether a person is logged in; a login window is the system's."""
        return self.process.uid >= FIRST_PERSON

    def is_on(self, console: str) -> bool:
        """Whether it may be what the console shows: one that logind gave the screen to has no terminal open."""
        return not self.terminals or f"/dev/{console}" in self.terminals


def find(
    running: Sequence[RunningProcess], console: str, opened: Opened = displays_linux.opened
) -> Display | Compositor:
    """What is on the ``console``, an X display or such a session; ``NoDisplayError`` says why there is nothing."""
    found = [compositor for process in running if (compositor := _compositor(process, opened)) is not None]
    found.sort(key=lambda compositor: not compositor.is_on(console))
    try:
        display = displays_linux.find(running, console)
    except NoDisplayError:
        if not found:
            raise
        return found[0]
    is_shown = not console or display.is_on(console) or not found or not found[0].is_on(console)
    return display if is_shown else found[0]


def _compositor(process: RunningProcess, opened: Opened) -> Compositor | None:
    """One that a person can't have put there to be shared in place of the real one: it has the machine's screen.

    A terminal is only given to a user who logs in at the machine, and so is a graphics card.
    """
    if process.name not in COMPOSITORS:
        return None
    names = opened(process.pid)
    terminals = frozenset(name for name in names if TERMINAL.fullmatch(name))
    if process.uid >= FIRST_PERSON and not terminals and not any(map(_CARD.fullmatch, names)):
        return None
    return Compositor(process, terminals)


def connect(compositor: Compositor, users: Path = Path("/run/user")) -> socket.socket:
    """A connection to the session, made with the rights of its user: the program that has it is one of its own.

    It leads to that very process, which the kernel says of the socket's other end (SO_PEERCRED).
    """
    wanted = (compositor.process.pid, compositor.process.uid)
    with displays_linux.rights_of(compositor.process.uid):
        for number in range(MAX_SOCKETS):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if _leads_to(connection, users / str(compositor.process.uid) / f"wayland-{number}", wanted):
                return connection
            connection.close()
    raise NoDisplayError(f"The session of {compositor.process.name} takes no connection.")


def _leads_to(connection: socket.socket, path: Path, wanted: tuple[int, int]) -> bool:
    """Connect, without waiting; whether it is the wanted process and user that listens there."""
    connection.setblocking(False)
    try:
        connection.connect(str(path))
    except OSError:
        return False
    connection.setblocking(True)
    return peer_process_linux(connection) == wanted


class WlrootsScreen:
    """The session's screen, for the length of one share."""

    def __init__(self, compositor: Compositor, account: ScreenAccount, folder: Path) -> None:
        self._compositor = compositor
        self._account = account
        self._values = {"XDG_RUNTIME_DIR": str(folder), "PATH": screen_account.PATH, "HOME": "/nonexistent"}
        self._telling: asyncio.Task[None] | None = None

    def check(self, *, speaks: bool) -> None:
        """Raise ``ServerError`` unless there is what serves the screen and, if it ``speaks``, shows a text on it."""
        for program in (wayvnc_proxy.PROGRAM, SWAYNAG)[: 1 + speaks]:
            screen_account.require(program)

    async def consents(self, by: str, seconds: int) -> bool:
        """Whether the person logged in there allowed it in time; true where no person is logged in."""
        if not self._compositor.is_a_persons:
            return True
        asking = await self._start(question(by, seconds), stdout=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(seconds):
                return asking.stdout is not None and await asking.stdout.read(len(ALLOWED) + 1) == ALLOWED
        except TimeoutError:
            return False
        finally:
            await stop(asking, STOP_DEADLINE)

    async def serve(self, path: Path, *, view_only: bool) -> asyncio.subprocess.Process:
        """The server, which listens there; ``ServerError`` if it can't."""
        argv = (sys.executable, "-I", "-m", wayvnc_proxy.__name__, str(path))
        server = await self._start((*argv, "view-only") if view_only else argv)
        try:
            await screen_account.wait_until_it_listens(server, path, wayvnc_proxy.PROGRAM)
        except ServerError as error:
            await stop(server, STOP_DEADLINE)
            raise ServerError(NOT_SERVED if server.returncode == 0 else str(error)) from error
        return server

    def tell(self, by: str, since: str) -> None:
        """Show from now on with whom the screen is shared."""
        self._telling = asyncio.create_task(self._keep_telling(vnc_linux.sentence(by, since)))

    async def _keep_telling(self, text: str) -> None:
        """Until the session is gone."""
        with contextlib.suppress(SraError, OSError):
            while True:
                shown = await self._start((*_LINE, "--message", text))
                try:
                    await shown.wait()
                finally:
                    await stop(shown, STOP_DEADLINE)
                await asyncio.sleep(TELL_AGAIN)

    async def close(self) -> None:
        """Nothing is shown there any more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _start(self, argv: Sequence[str], stdout: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
        with connect(self._compositor) as connection:
            number = connection.fileno()
            values = {**self._values, wayvnc_proxy.WAYLAND_SOCKET: str(number)}
            return await screen_account.start(argv, self._account, values, passed=(number,), stdout=stdout)


def question(by: str, seconds: int) -> tuple[str, ...]:
    """Ask for consent; without an answer it is a no. swaynag has a shell run what its button means: a fixed word."""
    allow = ("--button-dismiss-no-terminal", "Allow", f"echo {ALLOWED.decode().strip()}")
    text = f"{by} wants to see this screen and work at it: refused in {seconds} s."
    return (*_LINE, "--dismiss-button", "Refuse", *allow, "--message", text)
