"""A hostile remote over a real connection to an admin, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sra import audit
from sra.admin import session as session_module
from sra.admin.audit_trail import AuditTrail, rule_for
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.lending import GuardSettings, LentCard, PauseSwitch
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.unlocking import Unlocking
from sra.admin.session import AdminSession
from sra.errors import LinkError, RefusalCode, RefusedError, SraError
from sra.ledger import Ledger, refusals_path
from sra.piv.keys import PinReply, PinRequest, Slot
from sra.transport.channel import Channel
from sra.wire.messages import Message
from tests.admin.asking import Slow, typing
from tests.admin.connecting import remote_at
from tests.admin.guard_scene import KEYS, request_for
from tests.admin.scripted_remote import let_in, take_card
from tests.admin.watching import Watching
from tests.loopback import Door, listening
from tests.memory_card import PIN, MemoryCard

SIGN = request_for(Slot.AUTHENTICATION)
CHOSEN = frozenset({Slot.AUTHENTICATION, Slot.KEY_MANAGEMENT})
ALLOW = (KeyRule("*", ("9A", "9D"), "allow"),)


@dataclass(frozen=True)
class Scene:
    """An admin's session, and the hostile end of it."""

    session: AdminSession
    channel: Channel
    card: MemoryCard
    person: Slow
    log: Path
    ledger: Ledger

    async def tries(self, *requests: Message) -> list[str]:
        """What comes of each: done, the outcome of a PIN question, or why it was refused."""
        return await asyncio.gather(*(self.tries_one(request) for request in requests))

    async def tries_one(self, request: Message) -> str:
        try:
            reply = await self.channel.ask(request)
        except SraError as error:
            return str(error.code) if isinstance(error, RefusedError) else type(error).__name__
        return reply.outcome.value if isinstance(reply, PinReply) else "done"

    async def gives_pin(self) -> None:
        """The person gives the PIN on the pad once, so that there is something to abuse."""
        self.person.answer(typing(PIN))
        assert await self.tries(PinRequest(None)) == ["verified"]

    def facts(self, event: str) -> list[dict[str, audit.Fact]]:
        return [record.facts for record in self.records() if record.event == event]

    def records(self) -> list[audit.AuditRecord]:
        """What is written down, and the numbers of what was counted until now."""
        self.ledger.write_counts(at_once=True)
        both = [each for each in (self.log, refusals_path(self.log)) if each.exists()]
        return [record for each in both for record in audit.read(each)]


@asynccontextmanager
async def _opened(folder: Path, entry: PinEntry, rules: tuple[KeyRule, ...]) -> AsyncIterator[Scene]:
    door, card, person, log = Door(), MemoryCard(KEYS), Slow(), folder / "audit.jsonl"
    ledger = Ledger(log, rule_for)
    watcher = AuditTrail(ledger.record, "remote", Watching())
    lender = LentCard(card, person, watcher, GuardSettings(entry, rules), PinMemory(3600), PauseSwitch(watcher))
    person.answer(typing(PIN))
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(session_module.connect(remote_at(port), lender, Unlocking(lender)))
        channel = await door.next()
        await let_in(channel)
        session = await connecting
        inserting = asyncio.create_task(session.insert(CHOSEN))
        await take_card(channel)
        await inserting
        serving = asyncio.create_task(channel.serve(Silent()))
        try:
            yield Scene(session, channel, card, person, log, ledger)
        finally:
            channel.abort(LinkError("over"))
            await session.close("over")
            await asyncio.gather(serving, return_exceptions=True)


class Silent:
    """Takes notices and has no answers."""

    async def answer(self, question: Message) -> Message:
        raise RefusedError(RefusalCode.INTERNAL, type(question).__name__)

    async def hear(self, notice: Message) -> None:
        """Say nothing, whatever it is: an ejection is not confirmed either."""


@asynccontextmanager
async def playing(
    folder: Path, *, entry: PinEntry = PinEntry.PAD, rules: tuple[KeyRule, ...] = ALLOW
) -> AsyncIterator[Scene]:
    """A scene, in which no try may be lost; afterwards what was written down is whole."""
    async with _opened(folder, entry, rules) as scene:
        yield scene
        assert scene.card.tries == 3
        assert set(scene.card.verifications) <= {PIN}
    scene.ledger.write_counts(at_once=True)
    assert audit.verify(scene.log) is None
    if refusals_path(scene.log).exists():
        assert audit.verify(refusals_path(scene.log)) is None
