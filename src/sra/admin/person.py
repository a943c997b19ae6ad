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
"""Seconds before the next question, after one that disappeared: the key pressed for that one answers no other."""
MAX_WAITING = 8
"""Questions that may wait behind the one that is asked; a remote that asks more than that floods."""


@dataclass(frozen=True)
class Asker:
    """Who asks: the remote as this side knows it, the account, and what the remote *says* that it is for."""

    remote: str
    account: str
    remark: str = ""
    """The remote's word; never to be taken for more."""


@dataclass(frozen=True)
class PinQuestion:
    """May the PIN be used, and which is it? With ``kept`` the PIN is known already, and yes is enough."""

    asker: Asker
    card: str
    attempts_remaining: int
    kept: bool
    pad: bool
    """Whether the card's own reader has a PIN pad, where it will be typed."""


@dataclass(frozen=True)
class UseQuestion:
    """May this key be used?"""

    asker: Asker
    slot: Slot
    operation: Operation
    hash_name: str
    digest: bytes


class Reply(StrEnum):
    """A person's answer."""

    YES = "yes"
    NO = "no"
    UNANSWERED = "unanswered"


@dataclass(frozen=True)
class PinGiven:
    """The answer to a PinQuestion: ``pin`` is empty where it is kept, or typed on the reader's own pad."""

    reply: Reply
    pin: bytes = b""

    def __repr__(self) -> str:
        """Without the PIN."""
        return f"PinGiven({self.reply})"


class Person(Protocol):
    """The person at the admin's machine. A cancelled question disappears."""

    async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        """Ask for the PIN; ``waiting`` questions come after this one."""

    async def ask_use(self, question: UseQuestion, waiting: int) -> Reply:
        """Ask whether a key may be used; ``waiting`` questions come after this one."""


_T = TypeVar("_T")


class TooManyQuestionsError(Exception):
    """More questions wait than a person can answer."""


class Queue:
    """Asks one question at a time, in the order in which they came; each has its own deadline, from its turn on."""

    def __init__(self, deadline: float = DEADLINE, calm: float = CALM) -> None:
        self._deadline = deadline
        self._calm = calm
        self._calm_until = 0.0
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def ask(self, question: Callable[[int], Awaitable[_T]], unanswered: _T) -> _T:
        """The answer; ``unanswered`` if none came in time. Raises ``TooManyQuestionsError`` if too many wait."""
        if self._waiting >= MAX_WAITING:
            raise TooManyQuestionsError
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            await asyncio.sleep(self._calm_until - asyncio.get_running_loop().time())
            return await self._ask_now(question, unanswered)
        finally:
            self._turn.release()

    async def _ask_now(self, question: Callable[[int], Awaitable[_T]], unanswered: _T) -> _T:
        is_answered = False
        try:
            async with asyncio.timeout(self._deadline):
                answer = await question(self._waiting)
            is_answered = True
        except TimeoutError:
            return unanswered
        else:
            return answer
        finally:
            if not is_answered:
                self._calm_until = asyncio.get_running_loop().time() + self._calm
