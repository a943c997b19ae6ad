"""Which X display this machine shows people, found from the X servers that run; and its cookie."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sra.errors import SraError
from sra.system import files

X_SERVERS = {"X", "Xorg", "Xvfb", "Xephyr"}
WAYLAND_SERVERS = {"Xwayland", "gnome-shell", "kwin_wayland", "sway", "weston", "labwc"}
FIRST_PERSON = 1000
"""Users from here on are people (login.defs(5)); a server of theirs counts only where it has the console."""
MAX_COOKIES = 64 * 1024
"""Bytes of an X server's file of cookies, which has one of some 50."""
_COOKIE_NAME = b"MIT-MAGIC-COOKIE-1"
_FAMILY_WILD = 0xFFFF
_DISPLAY = re.compile(r":(\d{1,4})")
TERMINAL = re.compile(r"/dev/tty\d+")
"""A virtual terminal, which only a user who logs in at the machine is given."""

NO_DISPLAY = (
    "There is no screen to share: no X display runs. With a monitor, start a display manager (such as lightdm) there; "
    "without one, run there: sra activate --virtual-screen"
)
WAYLAND = (
    "The screen can't be shared while it is a Wayland session: have X11 used instead (GDM: WaylandEnable=false in "
    "/etc/gdm3/daemon.conf; SDDM: DisplayServer=x11) and log in again. Sway's and labwc's can be, at the machine's own "
    "console (docs/screen.md)."
)


class NoDisplayError(SraError):
    """There is no display that could be shared; the text says what to set."""


@dataclass(frozen=True)
class RunningProcess:
    """What /proc tells of a process."""

    pid: int
    uid: int
    argv: tuple[str, ...]

    @property
    def name(self) -> str:
        """The program's, without its folder."""
        return self.argv[0].rpartition("/")[2]


@dataclass(frozen=True)
class Display:
    """A display, and the process that is its X server. ``cookies``: the server's own file, if it has one."""

    number: int
    server: RunningProcess
    cookies: str | None

    @property
    def name(self) -> str:
        """As programs are told (X(7))."""
        return f":{self.number}"

    def is_on(self, console: str) -> bool:
        """Whether the server was started for the console."""
        return f"vt{console.removeprefix('tty')}" in self.server.argv


def processes(proc: Path = Path("/proc")) -> Iterator[RunningProcess]:
    """Every process that has a command line."""
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                if words[0]:
                    argv = tuple(word.decode(errors="replace") for word in words)
                    yield RunningProcess(int(folder.name), folder.stat().st_uid, argv)


def find(running: Sequence[RunningProcess], console: str) -> Display:
    """The display that is on the ``console`` (such as ``tty7``), or the first; ``NoDisplayError`` says why none is."""
    found = displays(running)
    if not found:
        raise NoDisplayError(WAYLAND if is_wayland(running) else NO_DISPLAY)
    on_console = [display for display in found if display.is_on(console)]
    return min(on_console or found, key=lambda display: display.number)


def displays(running: Sequence[RunningProcess]) -> list[Display]:
    """Every display that could be the one that is shared."""
    return [display for process in running if (display := _display(process)) is not None]


def is_wayland(running: Sequence[RunningProcess]) -> bool:
    """Whether there is a Wayland session."""
    return any(process.name in WAYLAND_SERVERS for process in running)


def _display(process: RunningProcess) -> Display | None:
    """The display of an X server that a person can't have put there to be shared in place of the real one."""
    if process.name not in X_SERVERS:
        return None
    if process.uid >= FIRST_PERSON and not (process.name == "Xorg" and _has_console(process.pid)):
        return None
    number = next((match[1] for word in process.argv[1:] if (match := _DISPLAY.fullmatch(word))), None)
    argv = process.argv
    return Display(int(number or 0), process, argv[argv.index("-auth") + 1] if "-auth" in argv[:-1] else None)


def _has_console(pid: int) -> bool:
    """Whether the process has a virtual terminal open."""
    return any(map(TERMINAL.fullmatch, opened(pid)))


def opened(pid: int) -> tuple[str, ...]:
    """The names of the files that a process has open; none where it is gone."""
    try:
        return tuple(str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return ()


def console(active: Path = Path("/sys/class/tty/tty0/active")) -> str:
    """The virtual terminal that is shown, such as ``tty7``; empty where there is none."""
    try:
        return active.read_text().strip()
    except OSError:
        return ""


def cookie_file(display: Display) -> bytes:
    """A file (Xauthority) with the display's cookie alone; empty for a server that wants none.

    It is read with the rights of the server's user, and only what is a cookie is taken, so that no user can have
    another file of root's copied by naming it on a command line.
    """
    if display.cookies is None:
        return b""
    with rights_of(display.server.uid):
        content = files.read(Path(display.cookies), MAX_COOKIES)
    entries = _cookies(content.data if content else b"")
    cookie = next((value for name, value in entries if name == _COOKIE_NAME), None)
    if cookie is None:
        raise NoDisplayError(f"{display.cookies}, which display {display.name} was started with, holds no cookie.")
    fields = (b"", str(display.number).encode(), _COOKIE_NAME, cookie)
    return struct.pack(">H", _FAMILY_WILD) + b"".join(struct.pack(">H", len(field)) + field for field in fields)


def _cookies(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The (name, value) of each complete entry: a family, then address, number, name and value, each counted."""
    place = 0
    while place + 2 <= len(data):
        fields: list[bytes] = []
        place += 2
        for _ in range(4):
            length = int.from_bytes(data[place : place + 2], "big")
            fields.append(data[place + 2 : place + 2 + length])
            place += 2 + length
        if place <= len(data):
            yield fields[2], fields[3]


@contextlib.contextmanager
def rights_of(uid: int) -> Iterator[None]:
    """Look for files with that user's rights meanwhile; those of root alone are then out of reach."""
    former = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(former)


def is_somebody_logged_in(display: Display, proc: Path = Path("/proc")) -> bool:
    """Whether a person's program uses the display; at a greeter there are only the system's."""
    wanted = f"DISPLAY={display.name}".encode()
    for folder in proc.iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and folder.stat().st_uid >= FIRST_PERSON:
                values = (folder / "environ").read_bytes().split(b"\0")
                if any(value == wanted or value.startswith(wanted + b".") for value in values):
                    return True
    return False
