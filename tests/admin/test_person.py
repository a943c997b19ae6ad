"""The queue of questions: their order, their deadlines, and those that disappear."""

from __future__ import annotations

import asyncio

import pytest

from sra.admin.person import MAX_WAITING, Asker, PinGiven, Queue, Reply, TooManyQuestionsError
from tests.admin.asking import turns
from tests.loopback import until


class Screen:
    """Questions as they are shown, by name."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.log: list[str] = []
        self.waiting: list[int] = []
        self.answers: asyncio.Queue[str] = asyncio.Queue()

    def ask(self, name: str) -> asyncio.Task[str]:
        async def show(waiting: int) -> str:
            self.log.append(f"{name} shown")
            self.waiting.append(waiting)
            try:
                return await self.answers.get()
            finally:
                self.log.append(f"{name} gone")

        return asyncio.ensure_future(self.queue.ask(show, "unanswered"))


def play(body, **options: float) -> None:  # type: ignore[no-untyped-def]
    async def run() -> None:
        async with asyncio.timeout(5):
            await body(Screen(Queue(**options)))

    asyncio.run(run())


def test_questions_are_asked_one_at_a_time_in_the_order_in_which_they_came() -> None:
    async def body(screen: Screen) -> None:
        asked = [screen.ask(name) for name in "abc"]
        for name in "xyz":
            screen.answers.put_nowait(name)
        assert await asyncio.gather(*asked) == ["x", "y", "z"]
        assert screen.log == ["a shown", "a gone", "b shown", "b gone", "c shown", "c gone"]
        assert screen.waiting == [2, 1, 0]

    play(body)


def test_a_question_that_nobody_answers_in_time_is_unanswered_and_the_next_has_its_own_time() -> None:
    async def body(screen: Screen) -> None:
        first, second = screen.ask("a"), screen.ask("b")
        assert await first == "unanswered"
        await turns(lambda: "b shown" in screen.log)
        screen.answers.put_nowait("x")
        assert await second == "x"

    play(body, deadline=0.05, calm=0)


def test_a_question_that_is_cancelled_disappears_and_the_next_is_asked() -> None:
    async def body(screen: Screen) -> None:
        first, second, third = (screen.ask(name) for name in "abc")
        await turns(lambda: screen.log)
        second.cancel()
        first.cancel()
        await turns(lambda: "c shown" in screen.log)
        screen.answers.put_nowait("x")
        assert await third == "x"
        assert first.cancelled()
        assert second.cancelled()
        assert screen.log == ["a shown", "a gone", "c shown", "c gone"]

    play(body, calm=0)


@pytest.mark.parametrize("how", ["cancelled", "unanswered"])
def test_after_a_question_that_disappeared_the_next_waits_a_moment(how: str) -> None:
    async def body(screen: Screen) -> None:
        loop = asyncio.get_running_loop()
        first, second = screen.ask("a"), screen.ask("b")
        await turns(lambda: screen.log)
        if how == "cancelled":
            first.cancel()
        await asyncio.wait([first])
        gone = loop.time()
        await until(lambda: "b shown" in screen.log)
        assert loop.time() - gone >= 0.09
        screen.answers.put_nowait("x")
        assert await second == "x"

    play(body, deadline=0.3 if how == "cancelled" else 0.2, calm=0.1)


def test_after_an_answer_the_next_is_asked_at_once() -> None:
    async def body(screen: Screen) -> None:
        first, second = screen.ask("a"), screen.ask("b")
        screen.answers.put_nowait("x")
        assert await first == "x"
        await turns(lambda: "b shown" in screen.log)
        screen.answers.put_nowait("y")
        assert await second == "y"

    play(body, calm=60)


def test_too_many_are_refused_and_the_others_keep_their_places() -> None:
    async def body(screen: Screen) -> None:
        asked = [screen.ask(str(number)) for number in range(MAX_WAITING + 3)]
        await turns(lambda: all(one.done() for one in asked[MAX_WAITING + 1 :]))
        for one in asked[MAX_WAITING + 1 :]:
            assert isinstance(one.exception(), TooManyQuestionsError)
        for number in range(MAX_WAITING + 1):
            screen.answers.put_nowait(str(number))
        assert await asyncio.gather(*asked[: MAX_WAITING + 1]) == [str(number) for number in range(MAX_WAITING + 1)]

    play(body)


def test_cancelled_questions_take_no_places() -> None:
    async def body(screen: Screen) -> None:
        shown = screen.ask("shown")
        for _ in range(5):
            asked = [screen.ask("x") for _ in range(MAX_WAITING)]
            await asyncio.sleep(0)
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        last = screen.ask("last")
        screen.answers.put_nowait("a")
        screen.answers.put_nowait("b")
        assert [await shown, await last] == ["a", "b"]

    play(body)


def test_a_question_that_fails_lets_the_next_one_through() -> None:
    async def broken(waiting: int) -> str:
        raise OSError(waiting)

    async def body(screen: Screen) -> None:
        with pytest.raises(OSError, match="0"):
            await screen.queue.ask(broken, "unanswered")
        asked = screen.ask("a")
        screen.answers.put_nowait("x")
        assert await asked == "x"

    play(body, calm=0)


def test_a_pin_is_in_no_description() -> None:
    assert "271828" not in repr(PinGiven(Reply.YES, b"271828"))
    assert Asker("host", "ann").remark == ""
