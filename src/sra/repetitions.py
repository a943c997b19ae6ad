"""Repetitions are counted, not told one by one: so that another machine can't wash away what was told before.

Each kind of thing has a quota: so many are told at once, and one more for every ``period``. What comes beyond it is
counted, and the count is told a minute later, in one line, which is taken from the quota too. A kind is named by the
caller in words of this program, never in the peer's, so that there is a known number of kinds; where a part of the
name comes from outside (an address), the kinds are bounded and the rest is counted together.

No I/O: the time is passed in, in seconds that never go back, so that a clock that is set counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

COUNTED_FOR = 60.0
"""Seconds for which repetitions are counted before the number is told."""
LOOK_AGAIN = 1.0
"""Seconds between two looks for what is due: a flood is not to cost one for each of its lines."""
MAX_KINDS = 32
"""Kinds with a name from outside that are told apart at a time; the others of the same family are counted as one."""
OTHERS = "others"

T = TypeVar("T")


@dataclass(frozen=True)
class Quota:
    """``burst`` at once, and one more for every ``period`` seconds."""

    burst: int
    period: float


@dataclass(frozen=True)
class RepetitionKind:
    """What is counted together: a ``family`` is of our words only; ``origin`` tells apart within it, if not empty."""

    family: tuple[str, ...]
    origin: str = ""


@dataclass(frozen=True)
class Repeated(Generic[T]):
    """So many of this kind were not told, the latest of which is ``latest``."""

    kind: RepetitionKind
    count: int
    latest: T


@dataclass
class _Tally(Generic[T]):
    quota: Quota
    left: float
    at: float
    count: int = 0
    since: float = 0.0
    latest: T | None = None

    def fill(self, now: float) -> None:
        self.left = min(self.quota.burst, self.left + (now - self.at) / self.quota.period)
        self.at = now


class Repetitions(Generic[T]):
    """Counts what there is too much of."""

    def __init__(self, max_kinds: int = MAX_KINDS) -> None:
        self._max_kinds = max_kinds
        self._tallies: dict[RepetitionKind, _Tally[T]] = {}
        self._looked_at = float("-inf")

    def __len__(self) -> int:
        return len(self._tallies)

    def passes(self, kind: RepetitionKind, quota: Quota, what: T, now: float, number: int = 1) -> bool:
        """Whether it is to be told now; else it is counted, as ``number``."""
        tally = self._tally(kind, quota, now)
        tally.fill(now)
        if tally.count == 0 and tally.left >= 1:
            tally.left -= 1
            return True
        if tally.count == 0:
            tally.since = now
        tally.count += number
        tally.latest = what
        return False

    def due(self, now: float, *, at_once: bool = False) -> list[Repeated[T]]:
        """What has been counted for long enough, or whatever was; ``told`` has to follow for each.

        Kinds that have been quiet for a while are forgotten by this, which makes room for others.
        """
        if now - self._looked_at < LOOK_AGAIN and not at_once:
            return []
        self._looked_at = now
        for kind, tally in list(self._tallies.items()):
            tally.fill(now)
            if tally.count == 0 and tally.left >= tally.quota.burst:
                del self._tallies[kind]
        return [
            Repeated(kind, tally.count, tally.latest)
            for kind, tally in self._tallies.items()
            if tally.latest is not None and (at_once or now - tally.since >= COUNTED_FOR)
        ]

    def told(self, repeated: Repeated[T]) -> None:
        """The number has been told; it costs what one of them costs."""
        tally = self._tallies[repeated.kind]
        tally.count, tally.latest = 0, None
        tally.left = max(0.0, tally.left - 1)

    def _tally(self, kind: RepetitionKind, quota: Quota, now: float) -> _Tally[T]:
        if kind.origin and kind not in self._tallies and self._with_origin() >= self._max_kinds:
            kind = RepetitionKind(kind.family, OTHERS)
        return self._tallies.setdefault(kind, _Tally(quota, float(quota.burst), now))

    def _with_origin(self) -> int:
        return sum(1 for kind in self._tallies if kind.origin and kind.origin != OTHERS)
