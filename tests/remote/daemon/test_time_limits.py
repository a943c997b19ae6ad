"""The owner's limits, by the event loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sra.remote.daemon import time_limits
from sra.wire.messages import NO_LIMITS, SessionLimits

TURN = 0.001


class Hasty(asyncio.SelectorEventLoop):
    """An event loop whose clock leaps to the next timer: hours pass in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        scheduled = self._scheduled  # type: ignore[attr-defined]
        if not self._ready and scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def run(body: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Hasty) as runner:
        runner.run(body)


def limits(*, idle: int = 0, total: int = 0) -> SessionLimits:
    return SessionLimits(pin_cache=0, limit_pin_cache=False, idle=idle, total=total)


@pytest.mark.parametrize(
    ("demanded", "after", "reason"),
    [
        (limits(idle=60), 60, "not used"),
        (limits(total=60), 60, "lasted"),
        (limits(idle=60, total=3600), 60, "not used"),
        (limits(idle=3600, total=60), 60, "lasted"),
        (limits(total=7 * 24 * 3600), 7 * 24 * 3600, "lasted"),
    ],
)
def test_a_limit_is_reached_in_time_with_its_reason(demanded: SessionLimits, after: int, reason: str) -> None:
    async def body() -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        assert reason in await time_limits.reach(demanded, lambda: begun)
        assert begun + after <= clock() < begun + after + TURN

    run(body())


def test_a_use_puts_the_end_off_but_not_that_of_the_whole() -> None:
    async def body() -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()

        def last_use() -> float:
            return begun + 50 * ((clock() - begun) // 50)

        assert "lasted" in await time_limits.reach(limits(idle=60, total=600), last_use)
        assert begun + 600 <= clock() < begun + 600 + TURN

    run(body())


def test_without_limits_there_is_no_end() -> None:
    async def body() -> None:
        waiting = asyncio.ensure_future(time_limits.reach(NO_LIMITS, lambda: 0.0))
        await asyncio.sleep(8 * 24 * 3600)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    run(body())


def test_a_card_that_was_idle_for_too_long_already_ends_at_once() -> None:
    async def body() -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        assert "not used" in await time_limits.reach(limits(idle=60), lambda: begun - 100)
        assert clock() == begun

    run(body())
