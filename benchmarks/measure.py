"""Runs one operation several times at one round-trip time, and keeps what the clock and the proxy said."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.delayproxy import ask
from benchmarks.keys import KeyKind

SETTLE = 0.05
"""Seconds between runs, for what the last one still has on its way."""

LONGEST_RUN = 60
"""Seconds after which SIGALRM ends a run that hangs."""


class Operation(StrEnum):
    """What is measured: the rows of the table."""

    CONNECT = "connect + authenticate"
    COMMAND = "the whole command"
    LIST = "list objects"
    SIGN = "login + sign in a new process"
    PAM = "PAM login"
    STEADY = "steady signature"
    INSERTION = "insertion seen"
    REMOVAL = "removal seen"
    EJECTION = "ejection ordered"
    EJECT_COMMAND = "sra session eject"
    PAUSE = "pause ordered"


@dataclass(frozen=True)
class Plan:
    """How thorough a benchmark run is.

    ``patience`` is how many seconds an operation may take at one round-trip time before three runs have to do.
    """

    rtts_ms: tuple[float, ...] = (0, 20, 100, 200)
    runs: int = 5
    patience: float = 10.0


@dataclass(frozen=True)
class Cell:
    """One operation of one path at one round-trip time.

    ``runs_ms`` is what each run took; ``round_trips`` the median of what the proxy counted.
    """

    operation: Operation
    path: str
    kind: KeyKind
    rtt_ms: float
    runs_ms: tuple[float, ...]
    round_trips: float

    @property
    def median_ms(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs_ms)


@dataclass(frozen=True)
class CardTime:
    """How long the card itself takes for a signature: C."""

    card: str
    kind: KeyKind
    milliseconds: float


@dataclass(frozen=True)
class LinkTime:
    """What a question and its answer really take at a round-trip time: R."""

    rtt_ms: float
    milliseconds: float


@dataclass(frozen=True)
class Results:
    """What a world measured."""

    cells: tuple[Cell, ...] = ()
    card_times: tuple[CardTime, ...] = ()
    link_times: tuple[LinkTime, ...] = ()
    missing: tuple[str, ...] = ()
    """What could not be measured, and why."""


Once = Callable[[], float]
"""Does an operation once; the seconds that it took."""


def timed(action: Callable[[], object]) -> Once:
    """Make an action time itself."""

    def once() -> float:
        start = time.monotonic()
        action()
        return time.monotonic() - start

    return once


def _nothing() -> None:
    pass


class Meter:
    """Measures the operations of one path."""

    def __init__(self, plan: Plan, path: str, kind: KeyKind, control: Path) -> None:
        self._plan = plan
        self._path = path
        self.kind = kind
        self._control = control

    def measure(
        self, operation: Operation, once: Once, *, prepare: Callable[[], None] = _nothing, per: int = 1
    ) -> list[Cell]:
        """Measure an operation at every round-trip time of the plan.

        ``prepare`` is called before each run, outside the measurement; a run does the operation ``per`` times, and
        ``once`` gives the seconds for one of them.
        """
        return [self._measure_at(rtt_ms, operation, once, prepare, per) for rtt_ms in self._plan.rtts_ms]

    def _measure_at(
        self, rtt_ms: float, operation: Operation, once: Once, prepare: Callable[[], None], per: int
    ) -> Cell:
        ask(self._control, f"rtt {rtt_ms}")
        seconds: list[float] = []
        round_trips: list[float] = []
        while not self._is_enough(seconds):
            prepare()
            time.sleep(SETTLE + rtt_ms / 1000)
            ask(self._control, "reset")
            signal.alarm(LONGEST_RUN)
            seconds.append(once())
            signal.alarm(0)
            round_trips.append(ask(self._control, "stats").round_trips / per)
        runs_ms = tuple(1000 * run for run in seconds)
        return Cell(operation, self._path, self.kind, rtt_ms, runs_ms, statistics.median(round_trips))

    def _is_enough(self, seconds: list[float]) -> bool:
        if len(seconds) >= 3 and sum(seconds) > self._plan.patience:
            return True
        return len(seconds) >= self._plan.runs
