"""The queue of questions: their order, their deadlines, and those that disappear."""

from __future__ import annotations

import asyncio

import pytest

from sra.admin.guard.questions import (
    LONGEST_CALM,
    MAX_IN_VAIN,
    MAX_NOES,
    MAX_WAITING,
    PersonReply,
    PinGiven,
    QuestionQueue,
    Requester,
    TooManyQuestionsError,
)
from tests.admin.asking import turns
from tests.loopback import until


class Said(str):
    """An answer, which is a yes unless it says something else."""

    __slots__ = ()

    @property
    def reply(self) -> PersonReply:
        return {"no": PersonReply.NO, "unanswered": PersonReply.UNANSWERED}.get(self, PersonReply.YES)


NO, UNANSWERED = Said("no"), Said("unanswered")


class Screen:
    """Questions as they are shown, by name."""

    def __init__(self, queue: QuestionQueue) -> None:
        self.queue = queue
        self.log: list[str] = []
        self.waiting: list[int] = []
        self.answers: asyncio.Queue[Said] = asyncio.Queue()

    def ask(self, name: str) -> asyncio.Task[Said]:
        async def show(waiting: int) -> Said:
            self.log.append(f"{name} shown")
            self.waiting.append(waiting)
            try:
                return await self.answers.get()
            finally:
                self.log.append(f"{name} gone")

        return asyncio.ensure_future(self.queue.ask(show, UNANSWERED))


async def test_questions_are_asked_one_at_a_time_in_the_order_in_which_they_came() -> None:
    screen = Screen(QuestionQueue())
    asked = [screen.ask(name) for name in "abc"]
    for name in "xyz":
        screen.answers.put_nowait(Said(name))
    assert await asyncio.gather(*asked) == ["x", "y", "z"]
    assert screen.log == ["a shown", "a gone", "b shown", "b gone", "c shown", "c gone"]
    assert screen.waiting == [2, 1, 0]


async def test_a_question_that_nobody_answers_in_time_is_unanswered_and_the_next_has_its_own_time() -> None:
    screen = Screen(QuestionQueue(deadline=0.05, calm=0))
    first, second = screen.ask("a"), screen.ask("b")
    assert await first == "unanswered"
    await turns(lambda: "b shown" in screen.log)
    screen.answers.put_nowait(Said("x"))
    assert await second == "x"


async def test_a_question_that_is_cancelled_disappears_and_the_next_is_asked() -> None:
    screen = Screen(QuestionQueue(calm=0))
    first, second, third = (screen.ask(name) for name in "abc")
    await turns(lambda: screen.log)
    second.cancel()
    first.cancel()
    await turns(lambda: "c shown" in screen.log)
    screen.answers.put_nowait(Said("x"))
    assert await third == "x"
    assert first.cancelled()
    assert second.cancelled()
    assert screen.log == ["a shown", "a gone", "c shown", "c gone"]


@pytest.mark.parametrize("how", ["cancelled", "unanswered"])
async def test_after_a_question_that_disappeared_the_next_waits_a_moment(how: str) -> None:
    screen = Screen(QuestionQueue(deadline=0.3 if how == "cancelled" else 0.2, calm=0.1))
    loop = asyncio.get_running_loop()
    first, second = screen.ask("a"), screen.ask("b")
    await turns(lambda: screen.log)
    if how == "cancelled":
        first.cancel()
    await asyncio.wait([first])
    gone = loop.time()
    await until(lambda: "b shown" in screen.log)
    assert loop.time() - gone >= 0.09
    screen.answers.put_nowait(Said("x"))
    assert await second == "x"


async def test_after_a_no_the_next_waits_a_moment_and_longer_each_time() -> None:
    screen = Screen(QuestionQueue(calm=0.1))
    loop, pauses = asyncio.get_running_loop(), []
    for number in range(1, MAX_NOES + 1):
        asked = screen.ask("a")
        begun = loop.time()
        await until(lambda number=number: len(screen.waiting) == number)  # type: ignore[misc]
        pauses.append(loop.time() - begun)
        screen.answers.put_nowait(NO)
        await asked
    assert pauses[1] >= 0.09
    assert pauses[2] >= 0.19


@pytest.mark.parametrize("most", [MAX_NOES, MAX_IN_VAIN])
async def test_after_so_many_in_vain_nothing_is_asked_until_the_person_wants_it(most: int) -> None:
    screen = Screen(QuestionQueue(calm=0))

    async def in_vain() -> None:
        asked = screen.ask("a")
        await until(lambda: screen.log[-1:] == ["a shown"])
        if most == MAX_NOES:
            screen.answers.put_nowait(NO)
        else:
            asked.cancel()
        await asyncio.wait([asked])

    for number in range(1, most + 1):
        assert screen.queue.take_news() == 0
        await in_vain()
        if number == most - 1:
            screen.answers.put_nowait(Said("y"))
            assert await screen.ask("b") == "y", "a yes makes good for all"
            break
    for _ in range(most):
        await in_vain()
    shown = len(screen.waiting)
    assert screen.queue.take_news() == most
    assert screen.queue.take_news() == 0
    for _ in range(3):
        with pytest.raises(TooManyQuestionsError, match="got no yes"):
            await screen.ask("c")
    assert len(screen.waiting) == shown
    screen.queue.begin_anew()
    screen.answers.put_nowait(Said("y"))
    assert await screen.ask("d") == "y"


async def test_those_that_waited_behind_the_last_no_are_not_asked_either() -> None:
    screen = Screen(QuestionQueue(calm=0))
    asked = [screen.ask(name) for name in "abcde"]
    for _ in range(MAX_NOES):
        screen.answers.put_nowait(NO)
    said = await asyncio.gather(*asked, return_exceptions=True)
    assert said[:MAX_NOES] == [NO] * MAX_NOES
    assert all(isinstance(one, TooManyQuestionsError) for one in said[MAX_NOES:])
    assert len(screen.waiting) == MAX_NOES


async def test_the_wait_has_an_end() -> None:
    screen = Screen(QuestionQueue())
    for _ in range(2000):
        screen.queue._count(PersonReply.UNANSWERED)
    assert screen.queue._calm_until - asyncio.get_running_loop().time() <= LONGEST_CALM


async def test_after_a_yes_the_next_is_asked_at_once() -> None:
    screen = Screen(QuestionQueue(calm=60))
    first, second = screen.ask("a"), screen.ask("b")
    screen.answers.put_nowait(Said("x"))
    assert await first == "x"
    await turns(lambda: "b shown" in screen.log)
    screen.answers.put_nowait(Said("y"))
    assert await second == "y"


async def test_too_many_are_refused_and_the_others_keep_their_places() -> None:
    screen = Screen(QuestionQueue())
    asked = [screen.ask(str(number)) for number in range(MAX_WAITING + 3)]
    await turns(lambda: all(one.done() for one in asked[MAX_WAITING + 1 :]))
    for one in asked[MAX_WAITING + 1 :]:
        assert isinstance(one.exception(), TooManyQuestionsError)
    for number in range(MAX_WAITING + 1):
        screen.answers.put_nowait(Said(str(number)))
    assert await asyncio.gather(*asked[: MAX_WAITING + 1]) == [str(number) for number in range(MAX_WAITING + 1)]


async def test_cancelled_questions_take_no_places() -> None:
    screen = Screen(QuestionQueue())
    shown = screen.ask("shown")
    for _ in range(5):
        asked = [screen.ask("x") for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    last = screen.ask("last")
    screen.answers.put_nowait(Said("a"))
    screen.answers.put_nowait(Said("b"))
    assert [await shown, await last] == ["a", "b"]


async def test_a_question_that_fails_lets_the_next_one_through() -> None:
    async def broken(waiting: int) -> Said:
        raise OSError(waiting)

    screen = Screen(QuestionQueue(calm=0))
    with pytest.raises(OSError, match="0"):
        await screen.queue.ask(broken, UNANSWERED)
    asked = screen.ask("a")
    screen.answers.put_nowait(Said("x"))
    assert await asked == "x"


def test_a_pin_is_in_no_description() -> None:
    assert "271828" not in repr(PinGiven(PersonReply.YES, b"271828"))
    assert Requester("host", "ann").remark == ""
