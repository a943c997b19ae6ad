"""A viewer for tests: logs in, notes what came of it, and stays until the screen goes away or the person closes it.

    python -m tests.small_viewer SOCKET|PORT NOTES

Notes a line for each start. The person closes it by making the file NOTES.close; it may also be ended from outside.
"""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

from tests.rfb_client import RfbClient, RfbRefusedError

ESCAPE = 0xFF1B


def main(place: str, notes: Path) -> None:
    client = RfbClient(int(place) if place.isdigit() else Path(place))
    try:
        client.log_in(os.environ["VNC_USERNAME"], os.environ["VNC_PASSWORD"])
        pixels = client.screen()
    except RfbRefusedError as error:
        note(notes, f"refused: {error}")
        return
    note(notes, f"shown {client.size[0]}x{client.size[1]} {pixels[:3].hex()}")
    client.press(ESCAPE)
    closing = notes.with_name(f"{notes.name}.close")
    while not closing.exists():
        if select.select([client.socket], [], [], 0.02)[0] and not client.socket.recv(1 << 16):
            return
    closing.unlink()


def note(notes: Path, text: str) -> None:
    with notes.open("a") as file:
        file.write(f"{time.time():.3f} {text}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
