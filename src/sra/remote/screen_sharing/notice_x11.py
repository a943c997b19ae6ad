"""A line of text in the upper right corner of an X display, for as long as this runs.

``python -I -m sra.remote.screen_sharing.notice_x11 TEXT``. It speaks X11 itself (X Window System Protocol, X.Org 1.0;
all numbers little-endian), because no usual program shows a text without the login window's handing it the keyboard:
LightDM's gives the focus to every new window that does not call itself a notification.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MAX_TEXT = 200
"""Characters; ImageText8 takes 255."""
LETTER, LINE, MARGIN = 6, 13, 6
"""Pixels of the font “fixed”, which every X server has built in, and around the text."""
GOLD, BLACK = 0xFFD700, 0
RAISE_EVERY = 2.0
"""Seconds after which it comes up again from below other windows; not at once: a screen lock may want that too."""

_ATOM_TYPE = 4
_EXPOSURE, _VISIBILITY = 1 << 15, 1 << 16
_EXPOSE_EVENT, _VISIBILITY_EVENT = 12, 15
_BACKGROUND, _OVERRIDE_REDIRECT, _EVENTS = 1 << 1, 1 << 9, 1 << 11
_GC_FOREGROUND, _GC_BACKGROUND, _GC_FONT = 1 << 2, 1 << 3, 1 << 14
_STACK_MODE = 1 << 6


@dataclass(frozen=True)
class Screen:
    """What the server says of itself: the numbers that we may give to things, its root window and width."""

    first_id: int
    root: int
    width: int


class Connection:
    """A connection to an X server."""

    def __init__(self, number: int, cookie: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(f"/tmp/.X11-unix/X{number}")  # noqa: S108 - where X servers listen
        name = b"MIT-MAGIC-COOKIE-1" if cookie else b""
        head = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), len(cookie))
        self._socket.sendall(head + _padded(name) + _padded(cookie))
        accepted, length = struct.unpack("<BxxxxxH", self.read(8))
        self.screen = _screen(self.read(4 * length)) if accepted == 1 else None

    def request(self, opcode: int, detail: int, body: bytes) -> None:
        """Ask for something."""
        data = _padded(body)
        self._socket.sendall(struct.pack("<BBH", opcode, detail, 1 + len(data) // 4) + data)

    def atom(self, name: bytes) -> int:
        """The number of a name (InternAtom)."""
        self.request(16, 0, struct.pack("<Hxx", len(name)) + name)
        return int(struct.unpack_from("<I", self.read(32), 8)[0])

    def read(self, size: int) -> bytes:
        """So many bytes; ``ConnectionError`` when the server has gone."""
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def wait(self, seconds: float) -> bool:
        """Whether something is to be read within this time."""
        return bool(select.select([self._socket], [], [], seconds)[0])


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _screen(setup: bytes) -> Screen:
    first_id, vendor = struct.unpack_from("<IxxxxxxxxH", setup, 4)
    formats = setup[21]
    place = 32 + vendor + -vendor % 4 + 8 * formats
    root, width = struct.unpack_from("<I", setup, place)[0], struct.unpack_from("<H", setup, place + 20)[0]
    return Screen(first_id, root, width)


def show(connection: Connection, screen: Screen, text: bytes) -> int:
    """Make the window; its number."""
    window, gc, font = screen.first_id, screen.first_id + 1, screen.first_id + 2
    width, height = LETTER * len(text) + 2 * MARGIN, LINE + MARGIN
    place = (max(0, screen.width - width), 0, width, height, 0, 1, 0)
    values = (_BACKGROUND | _OVERRIDE_REDIRECT | _EVENTS, GOLD, 1, _EXPOSURE | _VISIBILITY)
    connection.request(1, 0, struct.pack("<IIhhHHHHIIIII", window, screen.root, *place, *values))  # CreateWindow
    kind, notification = (connection.atom(b"_NET_WM_WINDOW_TYPE" + end) for end in (b"", b"_NOTIFICATION"))
    connection.request(
        18, 0, struct.pack("<IIIBxxxII", window, kind, _ATOM_TYPE, 32, 1, notification)
    )  # ChangeProperty
    connection.request(45, 0, struct.pack("<IHxx", font, 5) + b"fixed")  # OpenFont
    drawing = (_GC_FOREGROUND | _GC_BACKGROUND | _GC_FONT, BLACK, GOLD, font)
    connection.request(55, 0, struct.pack("<IIIIII", gc, window, *drawing))  # CreateGC
    connection.request(8, 0, struct.pack("<I", window))  # MapWindow
    return window


def keep(connection: Connection, window: int, text: bytes) -> None:
    """Draw it whenever it has to be, until the server goes."""
    covered_at = 0.0
    while True:
        if connection.wait(RAISE_EVERY):
            event = connection.read(32)
            if event[0] & 0x7F == _EXPOSE_EVENT:
                place = struct.pack("<IIhh", window, window + 1, MARGIN, LINE)
                connection.request(76, len(text), place + text)  # ImageText8
            if event[0] & 0x7F == _VISIBILITY_EVENT:
                covered_at = time.monotonic() if event[8] else 0.0
        if covered_at and time.monotonic() - covered_at >= RAISE_EVERY:
            covered_at = 0.0
            connection.request(12, 0, struct.pack("<IHxxI", window, _STACK_MODE, 0))  # ConfigureWindow: above


def cookie_in(data: bytes) -> bytes:
    """The cookie of a file with one entry, or none: the last counted field of it (Xauthority)."""
    place, value = 2, b""
    while place + 2 <= len(data):
        length = int.from_bytes(data[place : place + 2], "big")
        value = data[place + 2 : place + 2 + length]
        place += 2 + length
    return value


def main(text: str, display: str, cookies: Path) -> None:
    """Show the text on the display until the server ends."""
    connection = Connection(int(display.removeprefix(":")), cookie_in(cookies.read_bytes()))
    if connection.screen is not None:
        line = text[:MAX_TEXT].encode("latin-1", "replace")
        keep(connection, show(connection, connection.screen, line), line)


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # the display has gone, and the notice with it
        main(sys.argv[1], os.environ["DISPLAY"], Path(os.environ["XAUTHORITY"]))
