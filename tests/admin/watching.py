"""Those who watch a session and answer its questions, for tests."""

from __future__ import annotations

from typing import TypeVar

from sra.admin.events import Event

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
    """Somebody at the PIN pad who always gives the same answer."""

    def __init__(self, *, agrees: bool = True) -> None:
        self.agrees = agrees
        self.asked: list[str] = []

    async def confirm(self, question: str) -> bool:
        self.asked.append(question)
        return self.agrees
