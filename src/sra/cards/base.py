"""A card as a session uses it, in every kind of backend; and the thread in which a card's library may block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, TypeVar

from sra.piv.keys import KeyReply, KeyRequest
from sra.piv.objects import CardContents


@dataclass(frozen=True)
class CardListing:
    """A card that could be opened: ``name`` is what the user gives to choose it (``software:NAME``, ``pcsc:READER``).

    ``problem`` is empty, or says why this card can't be used and what to do.
    """

    name: str
    description: str
    problem: str = ""


class Card(Protocol):
    """An open card. Its methods never block the event loop."""

    @property
    def name(self) -> str:
        """The name of its listing."""

    @property
    def contents(self) -> CardContents:
        """Everything readable, read once when the card was opened."""

    async def attempts_remaining(self) -> int:
        """PIN tries left, without using one; 0 when the PIN is blocked."""

    async def attempts_told(self) -> int | None:
        """PIN tries left, where the card has told so much; ``None`` if it doesn't, and the other is a guess."""

    async def verify_pin(self, pin: bytes) -> None:
        """Verify the PIN (without padding); raise ``PinWrongError``, ``PinBlockedError`` or ``CardError``.

        ``PinUnfitError`` is for what can be no PIN of the card, which has cost no try.
        """

    @property
    def has_pin_pad(self) -> bool:
        """Whether the PIN can be typed on the reader itself (``verify_on_pad``)."""

    async def verify_on_pad(self) -> None:
        """Verify the PIN that the user types on the reader's own pad; raises what ``verify_pin`` raises."""

    async def change_pin(self, old: bytes, new: bytes) -> None:
        """Set another PIN; raises what ``verify_pin`` raises of ``old``, ``UsageError`` if ``new`` can be no PIN.

        This and ``unblock_pin`` are for the user at this machine: nothing that a remote asks leads here.
        """

    async def unblock_pin(self, puk: bytes, new: bytes) -> None:
        """Set a new PIN, with all its tries, by the PUK.

        Raises ``PukWrongError``, ``PukBlockedError``, ``UsageError`` if ``new`` can be no PIN, or ``CardError``.
        """

    async def lock(self) -> None:
        """Forget the verified PIN: the next use that wants it raises ``PinNeededError``."""

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Use a key; raise ``PinNeededError`` if the PIN has to be verified first, or another ``CardError``."""

    async def wait_removed(self) -> None:
        """Return when the card was taken out (or its file deleted)."""

    async def close(self) -> None:
        """Let the card go; it forgets the PIN."""


class CardBackend(Protocol):
    """One kind of card."""

    async def find(self) -> list[CardListing]:
        """The cards that are there now; raise ``NoReaderError`` where there can be none."""

    async def open(self, name: str) -> Card:
        """Open the card of that listing name, reading every object once."""


T = TypeVar("T")


class CardThread:
    """A card's own thread, which runs jobs one after another: PC/SC and PKCS#11 block, and a card does one at a time.

    Not a ``ThreadPoolExecutor``: Python waits for those at its end, and neither can be called back from waiting for a
    program that keeps the card, or a user.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job``, which must not raise, when those before it are done."""
        self._jobs.put(job)

    def run(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """What ``job`` will return or raise, when those before it are done; unless that is cancelled before."""
        outcome: Future[T] = Future()
        self.submit(lambda: settle(outcome, job) if outcome.set_running_or_notify_cancel() else None)
        return asyncio.wrap_future(outcome)

    def stop(self) -> None:
        """End when the jobs so far are done."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def settle(outcome: Future[T], job: Callable[[], T]) -> None:
    """Put what ``job`` returns or raises into ``outcome``."""
    try:
        outcome.set_result(job())
    except Exception as error:  # noqa: BLE001 - it is raised where the outcome is awaited
        outcome.set_exception(error)
