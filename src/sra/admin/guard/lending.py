"""Who lends the card and on what terms, and what one connection has of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sra.admin.events import Paused, Watcher
from sra.admin.guard import claims
from sra.admin.guard.consent import Consent
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.pin_entry import PinDesk, PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import Person, QuestionQueue, Requester
from sra.admin.guard.rate import UseMeter
from sra.admin.guard.session_code import SessionCode
from sra.cards.base import Card
from sra.system import clock as clocks

REMARK_COUNTS_FOR = 15.0
"""Seconds for which the remote's word on what it is for is shown with what it asks."""


@dataclass(frozen=True)
class GuardSettings:
    """The person's wishes."""

    entry: PinEntry = PinEntry.PAD
    rules: tuple[KeyRule, ...] = ()
    allow_raw_rsa: bool = False
    """Let RSA blocks pass that are no known signature: whoever has the remote can then sign whatever it wants."""


class PauseSwitch:
    """Whether the person has paused the lending; a new connection does not end the pause."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._paused = asyncio.Event()

    @property
    def paused(self) -> bool:
        """Whether nothing is lent."""
        return self._paused.is_set()

    async def wait_paused(self) -> None:
        """Return when the person pauses."""
        await self._paused.wait()

    def pause(self, *, paused: bool) -> None:
        """Lend nothing from this moment on, or again."""
        if paused:
            self._paused.set()
        else:
            self._paused.clear()
        self._watcher.notice(Paused(paused))


@dataclass(frozen=True)
class LentCard:
    """The person, the card and what is known of its PIN: the same from one connection to the next."""

    card: Card
    person: Person
    watcher: Watcher
    terms: GuardSettings
    memory: PinMemory
    switch: PauseSwitch
    code: SessionCode = field(default_factory=SessionCode)
    queue: QuestionQueue = field(default_factory=QuestionQueue)
    meter: UseMeter = field(default_factory=UseMeter)
    clock: Callable[[], float] = clocks.now

    def resume(self) -> None:
        """The person lends again, and may be asked again."""
        self.queue.begin_anew()
        self.switch.pause(paused=False)


class LendingState:
    """One connection's share: what was consented to, and whether anything is lent just now."""

    def __init__(self, lender: LentCard, remote: str, account: str) -> None:
        self.lender = lender
        self.clock = lender.clock
        self.consent = Consent(lender.terms.rules, remote, lender.clock)
        self.last_use = lender.clock()
        self._remote = remote
        self._account = account
        self._remark = ("", 0.0)
        self.desk = PinDesk(
            lender.card, lender.terms.entry, lender.memory, lender.code, lender.person, lender.queue, lender.watcher,
            self.asker,
        )  # fmt: skip

    def asker(self) -> Requester:
        """Who asks, as far as it is known now."""
        remark, said = self._remark
        fresh = self.clock() - said < REMARK_COUNTS_FOR
        return Requester(self._remote, self._account, remark if fresh else "")

    def hear_remark(self, text: str) -> None:
        """What the remote says that the next requests are for."""
        self._remark = (claims.shown_remark(text), self.clock())
