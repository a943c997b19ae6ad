"""What PC/SC on the remote has reported of its readers: when a card came, and when it went."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from lab.hosts import CHECKOUT, Host
from lab.product import PYTHON

LOOK_EVERY = 0.02
"""Seconds between looks at the report; the times in it are the events' own."""
NEVER = float("inf")


@dataclass(frozen=True)
class Event:
    """A card was ``inserted`` or ``removed``, or pcscd was ``lost``; ``time`` is the kernel's monotonic time."""

    time: float
    kind: str
    reader: int


def parse(line: str) -> Event:
    """The event that a line of the report tells of."""
    when, kind, reader = line.split()
    return Event(float(when), kind, int(reader))


class Readers:
    """The remote's readers, as long as the soak runs."""

    def __init__(self, remote: Host, log: Path) -> None:
        self._log = log
        self._read = 0
        self._events: list[Event] = []
        self.process = remote.start([PYTHON, "-m", "soak.report_readers"], folder=CHECKOUT, log=log)

    @property
    def events(self) -> list[Event]:
        """Everything reported so far."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._read += len(complete)
        self._events += map(parse, complete.decode().splitlines())
        return self._events

    def since(self, begin: float, kind: str, reader: int | None = None) -> list[Event]:
        """The events of a kind since a time, of one reader or of all."""
        return [e for e in self.events if e.time >= begin and e.kind == kind and reader in {None, e.reader}]

    def is_present(self, reader: int) -> bool:
        """Whether a card is in the reader."""
        last = [event.kind for event in self.events if event.reader == reader or event.kind == "lost"]
        return last[-1:] == ["inserted"]

    def removed_after(self, cause: float, reader: int, patience: float) -> float:
        """The seconds from a cause to the removal; ``NEVER`` if there was none within ``patience`` seconds of now."""
        deadline = time.monotonic() + patience
        while not (removed := self.since(cause, "removed", reader)):
            if time.monotonic() > deadline:
                return NEVER
            time.sleep(LOOK_EVERY)
        return removed[0].time - cause
