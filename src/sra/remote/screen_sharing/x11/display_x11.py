"""Two small programs on an X display, which run as the screen's account for as long as the display is there.

``python -I -m sra.remote.screen_sharing.x11.display_x11 sizes`` says how large the display is: a line “WIDTH HEIGHT”
at once, and another each time that this changes.

``… notice TEXT`` shows a line of text in the upper right corner. It is a program of ours because no usual one shows a
text without the login window's handing it the keyboard: LightDM's gives the focus to every new window that does not
call itself a notification.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sra.remote.screen_sharing.x11.x11 import X11Connection, X11Screen, connect

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
_CHANGE_WINDOW_ATTRIBUTES, _GET_GEOMETRY = 2, 14
_STRUCTURE_NOTIFY = 1 << 17
_REPLY, _CONFIGURE_NOTIFY = 1, 22
_SIZE_AT = {_REPLY: 16, _CONFIGURE_NOTIFY: 20}
"""Where width and height are, in the answer to GetGeometry and in the event."""


def sizes(connection: X11Connection) -> Iterator[tuple[int, int]]:
    """Width and height of the root window, now and after each change, until ``ConnectionError``."""
    root = connection.screen.root
    connection.request(_CHANGE_WINDOW_ATTRIBUTES, 0, struct.pack("<III", root, _EVENTS, _STRUCTURE_NOTIFY))
    connection.request(_GET_GEOMETRY, 0, struct.pack("<I", root))
    last = (0, 0)
    while True:
        packet = connection.packet()
        place = _SIZE_AT.get(packet[0] & 0x7F)
        if place is None:
            continue
        width, height = struct.unpack_from("<HH", packet, place)
        if (width, height) != last:
            last = (width, height)
            yield last


def show(connection: X11Connection, screen: X11Screen, text: bytes) -> int:
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


def keep(connection: X11Connection, window: int, text: bytes) -> None:
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


def main(what: str, *text: str) -> None:
    """Say the sizes of the display in the environment, or show a text on it, until its server ends."""
    connection = connect(os.environ["DISPLAY"], Path(os.environ["XAUTHORITY"]))
    if what == "sizes":
        for width, height in sizes(connection):
            print(width, height, flush=True)
    else:
        line = text[0][:MAX_TEXT].encode("latin-1", "replace")
        keep(connection, show(connection, connection.screen, line), line)


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # the display has gone, or the program that reads the sizes
        main(*sys.argv[1:])
