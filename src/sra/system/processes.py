"""Other processes and tasks: ending a process in order, and waiting for the first of several things."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

KILL_DEADLINE = 5.0
"""Seconds for a killed process to be gone: one that the kernel holds on to must not hold up its caller as well."""


async def stop(process: asyncio.subprocess.Process, patience: float) -> None:
    """Ask the process to end (SIGTERM), kill it if it does not within ``patience`` seconds; return when it is gone.

    It works in a task that is being cancelled too. ``asyncio.timeout`` does not, in Python 3.11: there its end is one
    more ``CancelledError``, and the process would never be killed.
    """
    ending = asyncio.ensure_future(process.wait())
    try:
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, KILL_DEADLINE)):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            done, _ = await asyncio.wait([ending], timeout=seconds)
            if done:
                return
    finally:
        ending.cancel()


@contextlib.asynccontextmanager
async def first_of(
    *waits: Awaitable[Any], seconds: float | None = None, until_all_ended: bool = False
) -> AsyncIterator[Sequence[asyncio.Future[Any]]]:
    """Enter when one of ``waits`` has ended, or after so many seconds, with a future for each; cancel them on leaving.

    ``until_all_ended``: leave only when the cancelled ones have ended too, for those that have something to put in
    order. Without it none is waited for: some wait for a card or another process, which may not answer.
    """
    futures = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        yield futures
    finally:
        for future in futures:
            future.cancel()
        if until_all_ended:
            await asyncio.gather(*futures, return_exceptions=True)
