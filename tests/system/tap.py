"""Stands between pcscd's driver and a virtual card, and writes down every byte of both directions.

python -m tests.system.tap READER_SOCKET TAP_SOCKET FILE: the tap's socket is there while the reader's is.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import BinaryIO

PIECE = 65536


def relay(card: socket.socket, driver: socket.socket, file: BinaryIO) -> None:
    """Pass on what either says, until one of them ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(card, selectors.EVENT_READ, driver)
        ready.register(driver, selectors.EVENT_READ, card)
        while True:
            for key, _ in ready.select():
                said = os.read(key.fd, PIECE)
                if not said:
                    return
                file.write(said)
                file.flush()
                key.data.sendall(said)


def once(reader: str, tap: Path, file: BinaryIO) -> None:
    """Serve one card, from its insertion to its end."""
    with socket.socket(socket.AF_UNIX) as card, socket.socket(socket.AF_UNIX) as door:
        card.connect(reader)
        new = tap.with_name(f".{tap.name}.new")
        new.unlink(missing_ok=True)
        door.bind(str(new))
        new.chmod(0o600)
        door.listen(1)
        new.rename(tap)
        driver, _ = door.accept()
        with driver:
            try:
                relay(card, driver, file)
            finally:
                tap.unlink(missing_ok=True)


def main() -> None:
    reader, tap, name = sys.argv[1:]
    with Path(name).open("ab") as file:
        print("tapping", flush=True)
        while True:
            try:
                once(reader, Path(tap), file)
            except (FileNotFoundError, ConnectionError):
                time.sleep(0.005)


if __name__ == "__main__":
    main()
