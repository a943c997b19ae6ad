"""Ending a process in order, and waiting for the first of several things."""

from __future__ import annotations

import asyncio
import sys

import pytest

from sra.system.processes import first_of, stop

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


async def _program(text: str) -> asyncio.subprocess.Process:
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", text, stdout=asyncio.subprocess.PIPE)
    assert started.stdout is not None
    await started.stdout.readline()
    return started


async def _never() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("text", "status"), [("import time; print(flush=True); time.sleep(60)", -15), (DEAF, -9)])
async def test_a_process_is_asked_to_end_and_then_killed(text: str, status: int) -> None:
    process = await _program(text)
    await stop(process, 0.3)
    assert process.returncode == status
    await stop(process, 0.3)  # one that has ended is no error


async def test_a_process_is_killed_in_a_task_that_is_being_cancelled_too() -> None:
    process = await _program(DEAF)

    async def keep() -> None:
        try:
            await _never()
        finally:
            await stop(process, 0.1)

    keeping = asyncio.create_task(keep())
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert process.returncode == -9


async def test_the_first_ends_the_wait_and_the_others_are_cancelled() -> None:
    async with first_of(_never(), asyncio.sleep(0, "slept")) as (never, slept):
        assert (never.done(), slept.result()) == (False, "slept")
    await asyncio.sleep(0)
    assert never.cancelled()


async def test_a_wait_has_its_end_even_if_nothing_happens() -> None:
    async with first_of(_never(), seconds=0.01) as (never,):
        assert not never.done()


async def test_a_cancelled_one_may_put_things_in_order_where_that_is_wanted() -> None:
    done = []

    async def work() -> None:
        try:
            await _never()
        finally:
            await asyncio.sleep(0)
            done.append("in order")

    async with first_of(work(), asyncio.sleep(0), until_all_ended=True):
        pass
    assert done == ["in order"]


async def test_who_waits_and_is_cancelled_leaves_nothing_running() -> None:
    event = asyncio.Event()

    async def wait() -> None:
        async with first_of(event.wait(), until_all_ended=True):
            pass

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}
