"""The remote's reader: pcscd with our driver, and how soon an application sees a card in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Cell, Meter, Operation
from benchmarks.operations import read_line
from benchmarks.world import CHECKOUT, ROOT, World, stop

DRIVER = CHECKOUT / "reader/build/libifdvirtualserial.so"
OPENSC = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"
PCSCD_SOCKET = Path("/run/pcscd/pcscd.comm")

Decide = Callable[[], float]
"""Inserts or ejects the card; the time at which the admin's side decided to (CLOCK_MONOTONIC)."""


def start_pcscd(world: World, reader_socket: Path) -> None:
    """Start pcscd with one virtual reader."""
    folder = ROOT / "reader.conf.d"
    folder.mkdir()
    (folder / "virtual").write_text(
        f'FRIENDLYNAME "Virtual Reader"\nDEVICENAME /dev/null:{reader_socket}\nLIBPATH {DRIVER}\nCHANNELID 0\n'
    )
    if not DRIVER.exists():
        raise RuntimeError("the driver is not built: run `make setup`")
    world.start("pcscd", "--foreground", "-c", str(folder), ready=PCSCD_SOCKET.exists)


class ReaderWatch:
    """An application that waits for changes of the reader (SCardGetStatusChange)."""

    def __init__(self, world: World) -> None:
        self._process: subprocess.Popen[str] = world.converse(sys.executable, "-m", "benchmarks.reader_watch")

    def seen(self, *, present: bool) -> float:
        """The time at which the application saw the card come, or go."""
        while True:
            is_present, when = json.loads(read_line(self._process))
            if is_present is present:
                return float(when)

    def close(self) -> None:
        """Stop watching."""
        stop(self._process)


def measure_presence(world: World, meter: Meter, insert: Decide, eject: Decide) -> list[Cell]:
    """Insertion and removal as an application sees them. The reader is empty at first; at the end the card is in."""
    watch = ReaderWatch(world)
    watch.seen(present=False)

    def coming() -> float:
        decided = insert()
        return watch.seen(present=True) - decided

    def going() -> float:
        decided = eject()
        return watch.seen(present=False) - decided

    def empty() -> None:
        eject()
        watch.seen(present=False)

    def fill() -> None:
        insert()
        watch.seen(present=True)

    fill()
    insertion = meter.measure(Operation.INSERTION, coming, prepare=empty)
    empty()
    removal = meter.measure(Operation.REMOVAL, going, prepare=fill)
    fill()
    watch.close()
    return [*insertion, *removal]
