"""How long a connection may last, and how long be unused, as the remote's owner demands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sra.wire.messages import SessionLimits

LONGEST_SLEEP = 30.0
"""Seconds between looks. The time that a remote sleeps does not count; no connection outlives it."""


async def reach(limits: SessionLimits, last_use: Callable[[], float]) -> str:
    """Return when a limit is reached, with the reason for people; never, where there is none."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    while True:
        now = clock()
        left = {
            "The card was not used for as long as the remote's owner allows.": _left(limits.idle, now - last_use()),
            "The connection lasted as long as the remote's owner allows.": _left(limits.total, now - begun),
        }
        reason, seconds = min(left.items(), key=lambda item: item[1])
        if seconds <= 0:
            return reason
        await asyncio.sleep(min(seconds, LONGEST_SLEEP))


def _left(limit: int, spent: float) -> float:
    return limit - spent if limit else float("inf")
