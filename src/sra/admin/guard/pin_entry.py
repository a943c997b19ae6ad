"""How a PIN question of the remote is answered: on this side's pad, by the session code, or by a forwarded PIN.

Whatever is typed on the remote never costs the card its last tries, and only where the person turned forwarding on
does it reach the card at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from sra.admin.events import PinAsked, Watcher
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import (
    Person,
    PersonReply,
    PinGiven,
    PinQuestion,
    QuestionQueue,
    Requester,
    TooManyQuestionsError,
)
from sra.admin.guard.session_code import SessionCode
from sra.cards.base import Card
from sra.errors import PinBlockedError, PinNeededError, PinUnfitError, PinWrongError, RefusalCode, RefusedError
from sra.piv.keys import PinOutcome, PinReply, PinRequest

ASKED = 3
"""How often a wrong PIN is asked for again for one question of the remote's."""
FLOOR = 2
"""Tries that are always left to the person: no remote can take the counter below."""


class PinEntry(StrEnum):
    """How the person wants to give the PIN."""

    PAD = "pad"
    CODE = "code"
    FORWARD = "forward"


@dataclass(frozen=True)
class PinDesk:
    """Answers PIN questions for one connection."""

    card: Card
    entry: PinEntry
    memory: PinMemory
    code: SessionCode
    person: Person
    queue: QuestionQueue
    watcher: Watcher
    asker: Callable[[], Requester]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from looking at the card's counter to the end of the try: two tries at once would both see the same."""

    async def check(self, request: PinRequest) -> PinReply:
        """The answer to the question; raises ``RefusedError`` or ``CardError`` where there is none."""
        if request.typed is None:
            return await self._on_pad()
        if self.entry is PinEntry.FORWARD:
            return await self._try_to_its_end(self._forward(request.typed), typed=True)
        return self._by_code(request.typed)

    def _by_code(self, typed: bytes) -> PinReply:
        """The session code. The real PIN gets the same answer as any wrong one: the remote must not learn it here."""
        return self._counted(right=self.code.matches(typed))

    def is_real_pin(self, request: PinRequest) -> bool:
        """Whether the PIN itself was typed on the remote, where it isn't forwarded."""
        typed = request.typed
        if typed is None or self.entry is PinEntry.FORWARD or self.code.matches(typed):
            return False
        return self.memory.is_right(typed) is True

    def _counted(self, *, right: bool) -> PinReply:
        """Wrong entries are counted even where they cost the card nothing, or a remote could try all PINs here."""
        self.code.count(right=right)
        if right:
            return PinReply(PinOutcome.VERIFIED, self.code.tries)
        return PinReply(PinOutcome.WRONG if self.code.is_open else PinOutcome.BLOCKED, self.code.tries)

    async def _forward(self, typed: bytes) -> PinReply:
        """To the card, but only if that can't take the counter below the floor; what is known costs nothing."""
        async with self._turn:
            if not self.code.is_open:  # closed by those that came before
                return PinReply(PinOutcome.BLOCKED, 0)
            known = self.memory.is_right(typed)
            if known is None:
                await self._check_floor()
                known = (await self._verify(typed)).outcome is PinOutcome.VERIFIED
            return self._counted(right=known)

    async def _check_floor(self) -> None:
        told = await self.card.attempts_told()
        if told is None or told <= FLOOR:
            why = "The card does not tell how many" if told is None else f"Only {told}"
            text = f"{why} PIN tries are left, so none is forwarded: give the PIN on the admin's side."
            raise RefusedError(RefusalCode.NOT_ALLOWED, text)

    async def _verify(self, pin: bytes) -> PinReply:
        try:
            await self.card.verify_pin(pin)
        except PinUnfitError:
            return PinReply(PinOutcome.WRONG, await self.card.attempts_remaining())
        except PinWrongError as error:
            self.memory.learn_wrong(pin)
            return PinReply(PinOutcome.WRONG, error.attempts_remaining)
        except PinBlockedError:
            self.memory.learn_wrong(pin)
            return PinReply(PinOutcome.BLOCKED, 0)
        self.memory.learn_right(pin)
        return PinReply(PinOutcome.VERIFIED, await self.card.attempts_remaining())

    async def _on_pad(self) -> PinReply:
        """Ask the person, again after a wrong PIN, until it is right, refused, blocked or not answered.

        Where the PIN is known, another costs no try, since a remote that ends a question while it is answered can have
        the rest of the PIN taken for the answer to the next. Only a person who has changed it types the other twice.
        """
        reply = PinReply(PinOutcome.BLOCKED, 0)
        doubted = b""
        for _ in range(ASKED):
            remaining = await self.card.attempts_remaining()
            if remaining == 0:
                return PinReply(PinOutcome.BLOCKED, 0)
            given = await self._ask(remaining)
            if given.reply is not PersonReply.YES:
                outcome = PinOutcome.CANCELLED if given.reply is PersonReply.NO else PinOutcome.TIMED_OUT
                return PinReply(outcome, remaining)
            if given.pin not in (b"", doubted) and self.memory.is_right(given.pin) is False:
                doubted, reply = given.pin, PinReply(PinOutcome.WRONG, remaining)
                continue
            reply = await self._take(given, remaining)
            if reply.outcome is not PinOutcome.WRONG:
                return reply
        return reply

    async def _ask(self, remaining: int) -> PinGiven:
        question = PinQuestion(
            self.asker(), self.card.name, remaining, kept=self.memory.kept() is not None, pad=self.card.has_pin_pad
        )
        try:
            return await self.queue.ask(
                lambda waiting: self.person.ask_pin(question, waiting), PinGiven(PersonReply.UNANSWERED)
            )
        except TooManyQuestionsError as error:
            raise RefusedError(RefusalCode.NOT_ALLOWED, f"The PIN was not asked for: {error}.") from None

    async def _take(self, given: PinGiven, remaining: int) -> PinReply:
        if self.card.has_pin_pad and not given.pin:
            return await self._verify_on_readers_pad(remaining)
        pin = given.pin or self.memory.kept() or b""
        if not pin:
            return PinReply(PinOutcome.TIMED_OUT, remaining)  # it was kept when it was asked for, and is not any more
        known = self.memory.is_right(pin)
        if known and not given.pin:
            return PinReply(PinOutcome.VERIFIED, remaining)  # the card is asked when it wants the PIN itself
        if self.memory.is_known_wrong(pin):
            return PinReply(PinOutcome.WRONG, remaining)
        return await self._try_to_its_end(self._verify_in_turn(pin), typed=False)

    async def _try_to_its_end(self, work: Coroutine[Any, Any, PinReply], *, typed: bool) -> PinReply:
        """What comes of the try; that is told too where nobody waits for it any more."""
        trying = asyncio.ensure_future(work)
        try:
            return await to_its_end(trying)
        except asyncio.CancelledError:
            trying.add_done_callback(lambda done: self._tell_outcome(done, typed=typed))
            raise

    def _tell_outcome(self, done: asyncio.Future[PinReply], *, typed: bool) -> None:
        if not done.cancelled() and done.exception() is None:
            self.watcher.notice(PinAsked(typed, done.result().outcome))

    async def _verify_in_turn(self, pin: bytes) -> PinReply:
        async with self._turn:
            return await self._verify(pin)

    async def _verify_on_readers_pad(self, remaining: int) -> PinReply:
        try:
            await self.card.verify_on_pad()
        except PinWrongError as error:
            return PinReply(PinOutcome.WRONG, error.attempts_remaining)
        except PinBlockedError:
            return PinReply(PinOutcome.BLOCKED, 0)
        except PinNeededError:  # nothing was typed there
            return PinReply(PinOutcome.CANCELLED, remaining)
        return PinReply(PinOutcome.VERIFIED, remaining)


_T = TypeVar("_T")


async def to_its_end(work: Awaitable[_T]) -> _T:
    """What the work gives. It goes on when nobody waits any more: what the card has begun counts, whoever gives up."""
    return await asyncio.shield(asyncio.ensure_future(work))
