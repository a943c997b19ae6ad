"""A guard, a person who thinks, and a card that may be busy, for tests."""

from __future__ import annotations

import asyncio

from sra.admin.guard.guard import Guard
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.lending import GuardSettings, LendingState
from sra.admin.guard.pin_entry import PinEntry
from sra.errors import CardError, RefusedError
from sra.piv.keys import KeyReply, KeyRequest, PinReply, PinRequest, Slot
from tests.admin.asking import Slow, turns
from tests.admin.guard_scene import KEYS, Clock, request_for
from tests.admin.watching import Watching, lender
from tests.memory_card import PIN, MemoryCard

SIGN = request_for(Slot.AUTHENTICATION)
WRONG_UNKNOWN = PinRequest(b"111111")


class SlowScene:
    """A guard, and a person who thinks."""

    def __init__(self, *rules: KeyRule, card: MemoryCard | None = None, known: bool = True) -> None:
        self.card = card or MemoryCard(KEYS)
        self.person = Slow()
        self.watching = Watching()
        self.clock = Clock()
        self.lender = lender(
            self.card, watching=self.watching, person=self.person, terms=GuardSettings(PinEntry.FORWARD, rules),
            clock=self.clock, known=known,
        )  # fmt: skip
        self.lending = LendingState(self.lender, "remote.example.com", "ann")
        self.guard = Guard(self.lending, self.card.contents.keys)

    def ask(self, request: KeyRequest | PinRequest) -> asyncio.Task[KeyReply | PinReply]:
        return asyncio.ensure_future(self.guard.answer(request))

    async def asked(self, request: KeyRequest | PinRequest) -> asyncio.Task[KeyReply | PinReply]:
        """The question, once the person sees it."""
        before = len(self.person.shown)
        asking = self.ask(request)
        await turns(lambda: len(self.person.shown) > before)
        return asking


async def unlocked_scene(*rules: KeyRule, card: MemoryCard | None = None, known: bool = True) -> SlowScene:
    """A scene whose card has its PIN."""
    scene = SlowScene(*rules, card=card, known=known)
    await scene.card.verify_pin(PIN)
    return scene


def why(asking: asyncio.Task[KeyReply | PinReply]) -> str:
    error = asking.exception()
    assert isinstance(error, RefusedError)
    return f"{error.code}: {error.text}"


class Busy(MemoryCard):
    """A card that is busy until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__(KEYS)
        self.may_end = asyncio.Event()
        self.fails: CardError | None = None

    async def use_key(self, request: KeyRequest) -> KeyReply:
        reply = await super().use_key(request)
        await self.may_end.wait()
        if self.fails is not None:
            raise self.fails
        return reply
