"""What a person is asked, and how the questions of several programs wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from sra.piv.keys import Operation, Slot

DEADLINE = 60.0
"""Seconds that a question waits for its answer."""
CALM = 1.0
"""Seconds before the next question, after one that got no yes: the key pressed for that one answers no other.

Twice as long after each further one in a row.
"""
LONGEST_CALM = 16.0
MAX_NOES = 3
"""Times in a row that a person says no before nothing is asked any more: so often is enough."""
MAX_IN_VAIN = 10
"""Questions in a row that got no yes, whether they were answered or not."""
MAX_WAITING = 8
"""Questions that may wait behind the one that is asked; a remote that asks more than that floods."""


@dataclass(frozen=True)
class Requester:
    """Who asks: the remote as this side knows it, the account, and what the remote *says* that it is for."""

    remote: str
    account: str
    remark: str = ""
    """The remote's word; never to be taken for more."""


@dataclass(frozen=True)
class PinQuestion:
    """May the PIN be used, and which is it? With ``kept`` the PIN is known already, and yes is enough."""

    asker: Requester
    card: str
    attempts_remaining: int
    kept: bool
    pad: bool
    """Whether the card's own reader has a PIN pad, where it will be typed."""


@dataclass(frozen=True)
class UseQuestion:
    """May this key be used?"""

    asker: Requester
    slot: Slot
    operation: Operation
    hash_name: str
    digest: bytes


class PersonReply(StrEnum):
    """A person's answer."""

    YES = "yes"
    NO = "no"
    UNANSWERED = "unanswered"

    @property
    def reply(self) -> PersonReply:
        """Itself (``AnyAnswer``)."""
        return self


@dataclass(frozen=True)
class PinGiven:
    """The answer to a PinQuestion: ``pin`` is empty where it is kept, or typed on the reader's own pad."""

    reply: PersonReply
    pin: bytes = b""

    def __repr__(self) -> str:
        """Without the PIN."""
        return f"PinGiven({self.reply})"


class AnyAnswer(Protocol):
    """Whatever a person answers."""

    @property
    def reply(self) -> PersonReply:
        """Yes, no, or nothing."""


class Person(Protocol):
    """The person at the admin's machine. A cancelled question disappears."""

    async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        """Ask for the PIN; ``waiting`` questions come after this one."""

    async def ask_use(self, question: UseQuestion, waiting: int) -> PersonReply:
        """Ask whether a key may be used; ``waiting`` questions come after this one."""


_T = TypeVar("_T", bound=AnyAnswer)


class TooManyQuestionsError(Exception):
    """More questions than a person can answer, or wants to."""


class QuestionQueue:
    """Asks one question at a time, in the order in which they came; each has its own deadline, from its turn on."""

    def __init__(self, deadline: float = DEADLINE, calm: float = CALM) -> None:
        self._deadline = deadline
        self._calm = calm
        self._calm_until = 0.0
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._noes = 0
        self._in_vain = 0
        self._is_news = False

    def begin_anew(self) -> None:
        """Ask again, whatever was asked in vain."""
        self._noes = self._in_vain = 0

    def take_news(self) -> int:
        """How many questions in a row got no yes, once, when it has become too much; else 0."""
        is_news, self._is_news = self._is_news, False
        return self._in_vain if is_news else 0

    async def ask(self, question: Callable[[int], Awaitable[_T]], unanswered: _T) -> _T:
        """The answer; ``unanswered`` if none came in time.

        Raises ``TooManyQuestionsError`` if too many wait, or too many in a row got no yes.
        """
        if self._waiting >= MAX_WAITING:
            raise TooManyQuestionsError("too many questions wait for the person")
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            self._check_not_in_vain()
            await asyncio.sleep(self._calm_until - asyncio.get_running_loop().time())
            return await self._ask_now(question, unanswered)
        finally:
            self._turn.release()

    async def _ask_now(self, question: Callable[[int], Awaitable[_T]], unanswered: _T) -> _T:
        reply = PersonReply.UNANSWERED
        try:
            async with asyncio.timeout(self._deadline):
                answer = await question(self._waiting)
            reply = answer.reply
        except TimeoutError:
            return unanswered
        else:
            return answer
        finally:
            self._count(reply)

    def _check_not_in_vain(self) -> None:
        if self._is_too_much():
            raise TooManyQuestionsError("too many got no yes; the person has to run “sra session resume” first")

    def _is_too_much(self) -> bool:
        return self._noes >= MAX_NOES or self._in_vain >= MAX_IN_VAIN

    def _count(self, reply: PersonReply) -> None:
        if reply is PersonReply.YES:
            self.begin_anew()
            return
        self._noes = self._noes + 1 if reply is PersonReply.NO else 0
        calm = min(self._calm * 2 ** min(self._in_vain, MAX_IN_VAIN), LONGEST_CALM)
        self._calm_until = asyncio.get_running_loop().time() + calm
        self._in_vain += 1
        self._is_news = self._is_too_much()
