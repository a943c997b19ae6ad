"""What the processes take: memory and descriptors over time, and the rules for them. No I/O but ``sample``."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WARM_UP = 120.0
"""Seconds of a process's life that don't count: libraries and caches are loaded with the first of everything."""
MIN_SAMPLES = 12
"""Fewer say nothing."""
MOST_GROWTH = 0.05
"""Share of the memory after the warm-up."""


@dataclass(frozen=True)
class Sample:
    """What a process took at rest: ``memory`` in KiB, and its open files.

    The memory is what the process alone has written to. Its share of what several have in common (PSS) would grow
    whenever another process ends.
    """

    time: float
    memory: int
    files: int


@dataclass(frozen=True)
class Growth:
    """How a process's memory went: KiB in the first and in the last third of its samples after the warm-up."""

    first: float
    last: float
    seconds: float

    @property
    def share(self) -> float:
        """What was added, as a share of the beginning."""
        return self.last / self.first - 1


def sample(pid: int, now: float) -> Sample | None:
    """What the process takes now; ``None`` if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return None
    memory = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Swap:")))
    return Sample(now, memory, files) if memory else None


def growth(samples: Sequence[Sample], warm_up: float = WARM_UP) -> Growth | None:
    """How the memory grew; ``None`` if there are too few samples to say.

    Medians of thirds: a single question in between, or memory that the kernel lends for a moment, moves neither.
    """
    counted = [each for each in samples if each.time - samples[0].time >= warm_up]
    if len(counted) < MIN_SAMPLES:
        return None
    third = len(counted) // 3
    first, last = counted[:third], counted[-third:]
    return Growth(
        statistics.median(each.memory for each in first),
        statistics.median(each.memory for each in last),
        counted[-1].time - counted[0].time,
    )


def has_grown(samples: Sequence[Sample], warm_up: float = WARM_UP) -> bool:
    """Whether the memory grew more than it may."""
    grown = growth(samples, warm_up)
    return grown is not None and grown.share > MOST_GROWTH


def leaked_files(samples: Sequence[Sample], warm_up: float = WARM_UP) -> int:
    """By how many the open files at rest grew, from the most of the first third to the least of the last."""
    counted = [each.files for each in samples if each.time - samples[0].time >= warm_up]
    if len(counted) < MIN_SAMPLES:
        return 0
    third = len(counted) // 3
    return max(0, min(counted[-third:]) - max(counted[:third]))


def cpu_seconds(pid: int) -> float:
    """The seconds of one core that a process and its children that ended have used; 0 if it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
