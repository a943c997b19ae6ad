"""How soon an order of the person's has its effect on the remote: eject, and pause."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

from benchmarks.measure import Cell, Meter, Operation
from benchmarks.operations import tell, told
from benchmarks.reader import OPENSC, ReaderWatch
from benchmarks.world import World
from sra.admin import control
from sra.admin.control import ControlRequest


def measure_ejection(world: World, meter: Meter, watch: ReaderWatch, config: Path) -> list[Cell]:
    """From the order to the ``sra connect`` that runs until an application sees the reader empty; and by command.

    The card is in its reader before and after.
    """

    def order(which: ControlRequest) -> float:
        (running,) = control.running(config / "sessions")
        start = time.monotonic()
        asyncio.run(control.tell(running, which))
        return start

    def by_order() -> float:
        start = order(ControlRequest.EJECT)
        return watch.seen(present=False) - start

    def by_command() -> float:
        start = time.monotonic()
        world.call("sra", "session", "eject", "--config-dir", str(config))
        return watch.seen(present=False) - start

    def fill() -> None:
        order(ControlRequest.INSERT)
        watch.seen(present=True)

    by_order()
    ordered = meter.measure(Operation.EJECTION, by_order, prepare=fill)
    commanded = meter.measure(Operation.EJECT_COMMAND, by_command, prepare=fill)
    fill()
    return [*ordered, *commanded]


def measure_pause(world: World, meter: Meter, admin: subprocess.Popen[str]) -> list[Cell]:
    """From the order until a program that waits for the PIN on the pad has been refused, and has ended."""
    waiting: list[subprocess.Popen[str]] = []

    def ask() -> None:
        tell(admin, "resume")
        waiting.append(world.converse("pkcs11-tool", "--module", OPENSC, "--login", "--list-objects"))
        tell(admin, "asked")

    def pause() -> float:
        start = told(admin, "pause")
        waiting.pop().communicate()
        return time.monotonic() - start

    return meter.measure(Operation.PAUSE, pause, prepare=ask)
