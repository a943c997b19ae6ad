"""The clock by which a PIN is kept, consent counts and limits run: it goes on while the machine sleeps."""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has one of its own for that; macOS calls it monotonic, which is not what Python calls ``time.monotonic``."""


def now() -> float:
    """Seconds since some moment, those in which the machine slept among them."""
    return time.clock_gettime(_CLOCK)
