"""Those who watch a session and answer its questions, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sra.admin.events import Event
from sra.admin.guard.lending import GuardSettings, LentCard, PauseSwitch
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import Person as PersonLike
from sra.admin.guard.questions import PersonReply, PinGiven, PinQuestion, UseQuestion
from sra.cards.base import Card
from sra.system import clock as clocks
from tests.memory_card import PIN

E = TypeVar("E")


class Watching:
    """A ``Watcher`` that keeps what it was shown."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class Person:
    """Somebody who always gives the same answer; ``asked`` holds what a remote had asked, ``connecting`` the rest."""

    def __init__(self, *, agrees: bool = True, pin: bytes = PIN) -> None:
        self.agrees = agrees
        self.pin = pin
        self.asked: list[PinQuestion | UseQuestion] = []
        self.connecting: list[str] = []

    async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        if not question.asker.account:
            self.connecting.append(question.asker.remote)
            first = len(self.connecting) == 1
            return PinGiven(PersonReply.YES, self.pin) if first else PinGiven(PersonReply.NO)
        self.asked.append(question)
        if not self.agrees:
            return PinGiven(PersonReply.NO)
        return PinGiven(PersonReply.YES, b"" if question.kept else self.pin)

    async def ask_use(self, question: UseQuestion, waiting: int) -> PersonReply:
        self.asked.append(question)
        return PersonReply.YES if self.agrees else PersonReply.NO


def lender(
    card: Card,
    *,
    watching: Watching | None = None,
    person: PersonLike | None = None,
    terms: GuardSettings | None = None,
    clock: Callable[[], float] = clocks.now,
    known: bool = False,
) -> LentCard:
    """Somebody who lends the card, forwards what is typed, and keeps the PIN, which is ``known`` already or not."""
    watcher = watching or Watching()
    memory = PinMemory(float("inf"), clock)
    if known:
        memory.learn_right(PIN)
    return LentCard(
        card,
        person or Person(),
        watcher,
        terms or GuardSettings(PinEntry.FORWARD),
        memory,
        PauseSwitch(watcher),
        clock=clock,
    )
