"""A remote in a thread of its own, for commands that run an event loop themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.loopback import DEADLINE
from tests.memory_remote import MemoryRemote, running_remote


class RemoteInThread:
    """``remote`` may be looked at from here, and changed by ``do``."""

    def __init__(self, readers: int) -> None:
        self._readers = readers
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.remote: MemoryRemote

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with running_remote(readers=self._readers) as self.remote:
            self._ready.set()
            await self._stop.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(DEADLINE)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(2 * DEADLINE)
        assert not self._thread.is_alive()

    def once(self, condition: Callable[[], bool], action: Callable[[], None]) -> None:
        """Do ``action`` there as soon as ``condition`` holds there."""

        async def watch() -> None:
            while not condition():  # noqa: ASYNC110 - a test looks at what has no event
                await asyncio.sleep(0.005)
            action()

        asyncio.run_coroutine_threadsafe(watch(), self._loop)


@contextmanager
def remote_in_thread(readers: int = 1) -> Iterator[RemoteInThread]:
    running = RemoteInThread(readers)
    running.start()
    try:
        yield running
    finally:
        running.stop()
