"""A remote that follows a test's script, for what an honest one never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from sra.admin.session import AdminSession
from sra.transport.channel import Channel
from sra.wire.messages import NO_LIMITS, CardInserted, Challenge, Hello, InsertCard, Proof, Welcome
from tests.admin.connecting import connect
from tests.admin.watching import Person, Watching
from tests.loopback import DEADLINE, Door, listening
from tests.memory_card import MemoryCard

M = TypeVar("M")
WELCOME = Welcome("ann", "remote-host", NO_LIMITS, "1a2b3c4d")
ANY_PROOF = Challenge(1, bytes(32))


async def expect(channel: Channel, kind: type[M]) -> tuple[int, M]:
    """The admin's next question or notice, which is of this kind."""
    frame = await channel.next_question(DEADLINE)
    assert isinstance(frame.message, kind), frame
    return frame.number, frame.message


async def let_in(channel: Channel, welcome: Welcome = WELCOME) -> None:
    """Take the admin's word for who it is."""
    for kind, answer in ((Hello, ANY_PROOF), (Proof, welcome)):
        number, _ = await expect(channel, kind)
        channel.answer(number, answer)


async def take_card(channel: Channel) -> InsertCard:
    """Take the card in."""
    number, card = await expect(channel, InsertCard)
    channel.answer(number, CardInserted("reader"))
    return card


@asynccontextmanager
async def scripted_session(
    card: MemoryCard, *, watching: Watching | None = None, person: Person | None = None
) -> AsyncIterator[tuple[AdminSession, Channel]]:
    """An admin's session, and the remote's end of it."""
    door = Door()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, card, watching=watching, person=person))
        channel = await door.next()
        await let_in(channel)
        session = await connecting
        try:
            yield session, channel
        finally:
            await channel.close("over")
            await session.close("over")
