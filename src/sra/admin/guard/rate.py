"""How much a remote asks for, and how fast: one meter for all connections of a command. No I/O.

A broken link, or a card that is inserted anew, starts nothing anew: a remote can have both as often as it likes.
"""

from __future__ import annotations

import collections

MAX_RATE = 50
"""Key uses and PIN questions within ``RATE_PERIOD``: more than any person's programs need."""
RATE_PERIOD = 1.0
"""Seconds; a flood is over when none was refused for as long."""


class UseMeter:
    """Counts the uses of keys, and what comes too fast."""

    def __init__(self) -> None:
        self.uses = 0
        self.refused = 0
        """Requests of the flood that goes on."""
        self._refused_at = 0.0
        self._recent: collections.deque[float] = collections.deque()

    def admits(self, now: float) -> bool:
        """Whether a request may be looked at now; each counts, whatever becomes of it."""
        while self._recent and self._recent[0] <= now - RATE_PERIOD:
            self._recent.popleft()
        if len(self._recent) < MAX_RATE:
            self._recent.append(now)
            return True
        self.refused += 1
        self._refused_at = now
        return False

    def flood_is_over(self, now: float) -> bool:
        """Whether there was a flood, and nothing of it came lately."""
        return self.refused > 0 and now - self._refused_at >= RATE_PERIOD

    def take_refused(self) -> int:
        """How many were refused in the flood, which is forgotten by that."""
        refused, self.refused = self.refused, 0
        return refused
