"""Persons who do as a test says, and a card with a pad, for tests of questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from sra.admin.guard.questions import PersonReply, PinGiven, PinQuestion, UseQuestion
from sra.errors import CardError
from tests.memory_card import MemoryCard

YES, NO, UNANSWERED = PinGiven(PersonReply.YES), PinGiven(PersonReply.NO), PinGiven(PersonReply.UNANSWERED)


def typing(pin: bytes) -> PinGiven:
    return PinGiven(PersonReply.YES, pin)


class Scripted:
    """Gives these answers to PIN questions, one after the other, and yes to the rest; keeps what was asked."""

    def __init__(self, answers: Iterable[PinGiven] = ()) -> None:
        self._answers = iter(answers)
        self.pins: list[PinQuestion] = []
        self.uses: list[UseQuestion] = []

    async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        del waiting
        self.pins.append(question)
        return next(self._answers)

    async def ask_use(self, question: UseQuestion, waiting: int) -> PersonReply:
        del waiting
        self.uses.append(question)
        return PersonReply.YES


class Slow:
    """Thinks until the test answers; ``shown`` are the questions that are on the screen."""

    def __init__(self) -> None:
        self.shown: list[PinQuestion | UseQuestion] = []
        self.asked: list[PinQuestion | UseQuestion] = []
        self.waiting: list[int] = []
        self._answers: asyncio.Queue[PinGiven] = asyncio.Queue()

    async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        return await self._show(question, waiting)

    async def ask_use(self, question: UseQuestion, waiting: int) -> PersonReply:
        return (await self._show(question, waiting)).reply

    async def _show(self, question: PinQuestion | UseQuestion, waiting: int) -> PinGiven:
        self.asked.append(question)
        self.shown.append(question)
        self.waiting.append(waiting)
        try:
            return await self._answers.get()
        finally:
            self.shown.remove(question)

    def answer(self, given: PinGiven = YES) -> None:
        self._answers.put_nowait(given)


class PadCard(MemoryCard):
    """A card in a reader with a pad, on which these things happen, one after the other."""

    def __init__(self, outcomes: Iterable[CardError | None]) -> None:
        super().__init__()
        self._outcomes = iter(outcomes)
        self.pads = 0

    has_pin_pad = True

    async def verify_on_pad(self) -> None:
        self.pads += 1
        outcome = next(self._outcomes)
        if outcome is not None:
            raise outcome


class SlowCard(MemoryCard):
    """A card that lets others have their turn between any two steps, as one in a thread does."""

    async def attempts_remaining(self) -> int:
        await asyncio.sleep(0)
        return await super().attempts_remaining()

    async def verify_pin(self, pin: bytes) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await super().verify_pin(pin)


async def turns(condition: Callable[[], object], most: int = 200) -> None:
    """Let everything else have its turn until the condition holds."""
    for _ in range(most):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")
