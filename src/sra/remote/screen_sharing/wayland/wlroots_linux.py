"""A running Wayland session whose compositor is made of wlroots, found from the processes; and a way into it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sra.remote.screen_sharing.x11 import displays_linux
from sra.remote.screen_sharing.x11.displays_linux import FIRST_PERSON, TERMINAL, Display, NoDisplayError, RunningProcess
from sra.system.peer import peer_process_linux

COMPOSITORS = {"sway", "labwc", "wayfire", "river", "cage"}
"""Those that are said to have what wayvnc needs; wayvnc itself finds out whether they do."""
MAX_SOCKETS = 33
"""wayland-0 to wayland-32 are all that libwayland-server tries."""
_CARD = re.compile(r"/dev/dri/card\d+")

Opened = Callable[[int], Sequence[str]]
"""``displays_linux.opened``, or a test's."""


@dataclass(frozen=True)
class Compositor:
    """The process whose screen it is, and the virtual terminals that it has open."""

    process: RunningProcess
    terminals: frozenset[str] = frozenset()

    @property
    def is_somebodys(self) -> bool:
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

    A terminal is only given to who logs in at the machine, and so is a graphics card.
    """
    if process.name not in COMPOSITORS:
        return None
    names = opened(process.pid)
    terminals = frozenset(name for name in names if TERMINAL.fullmatch(name))
    if process.uid >= FIRST_PERSON and not terminals and not any(map(_CARD.fullmatch, names)):
        return None
    return Compositor(process, terminals)


def connect(compositor: Compositor, users: Path = Path("/run/user")) -> socket.socket:
    """A connection to the session, made with the rights of its user: whoever has it is one of its programs.

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
    """Connect; whether it is the wanted process and user that listens there. Nobody who does not is waited for."""
    connection.setblocking(False)
    try:
        connection.connect(str(path))
    except OSError:
        return False
    connection.setblocking(True)
    return peer_process_linux(connection) == wanted
