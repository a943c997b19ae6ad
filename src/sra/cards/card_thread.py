"""A card's own thread: PC/SC and PKCS#11 block, and a card does one thing at a time.

Not a ``ThreadPoolExecutor``: Python waits for those at its end, and neither can be called back from waiting for a
program that keeps the card, or a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class CardThread:
    """Runs jobs one after another."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job``, which must not raise, when those before it are done."""
        self._jobs.put(job)

    def run(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """What ``job`` will return or raise, when those before it are done; unless that is cancelled before."""
        outcome: Future[T] = Future()
        self.submit(lambda: settle(outcome, job) if outcome.set_running_or_notify_cancel() else None)
        return asyncio.wrap_future(outcome)

    def stop(self) -> None:
        """End when the jobs so far are done."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def settle(outcome: Future[T], job: Callable[[], T]) -> None:
    """Put what ``job`` returns or raises into ``outcome``."""
    try:
        outcome.set_result(job())
    except Exception as error:  # noqa: BLE001 - whoever waits for the outcome gets it
        outcome.set_exception(error)
