"""How large an X display is: a line “WIDTH HEIGHT” at once, and another each time that this changes.

``python -I -m sra.remote.screen_sharing.x11.size_x11``, for as long as the display is there.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from sra.remote.screen_sharing.x11 import x11
from sra.remote.screen_sharing.x11.x11 import X11Connection

_CHANGE_WINDOW_ATTRIBUTES, _GET_GEOMETRY = 2, 14
_EVENTS = 1 << 11
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


def main(display: str, cookies: Path) -> None:
    """Say the sizes until the display goes."""
    for width, height in sizes(x11.connect(display, cookies)):
        print(width, height, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # the display has gone, or who asked
        main(os.environ["DISPLAY"], Path(os.environ["XAUTHORITY"]))
