"""A session with its card: inserted, used, ejected, and every way in which that can end."""

from __future__ import annotations

import asyncio
import time

import pytest

from sra.admin import session as session_module
from sra.admin.events import Ejected, Inserted
from sra.errors import (
    CardRemovedError,
    LinkError,
    RefusalCode,
    RefusedError,
)
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinPolicy, PinRequest, Slot
from sra.piv.objects import CARD_CAPABILITY_CONTAINER, CERTIFICATES, CHUID, DISCOVERY
from sra.wire.messages import (
    CardInserted,
    EjectCard,
    InsertCard,
    Refusal,
)
from tests.admin.scripted_remote import expect, scripted_session, take_card
from tests.admin.watching import Person, Watching
from tests.loopback import until
from tests.memory_card import PIN, MemoryCard
from tests.piv_blocks import signing_input

FOUR_KEYS = {
    Slot.AUTHENTICATION: Algorithm.P256,
    Slot.SIGNATURE: Algorithm.P256,
    Slot.KEY_MANAGEMENT: Algorithm.P384,
    Slot.CARD_AUTHENTICATION: Algorithm.P256,
}
ONLY_9A = frozenset({Slot.AUTHENTICATION})


def request_for(slot: Slot) -> KeyRequest:
    return KeyRequest(slot, Algorithm.P256, Operation.SIGN, signing_input(Algorithm.P256, b"text"))


async def test_only_the_slots_that_were_chosen_leave_this_machine() -> None:
    card = MemoryCard(FOUR_KEYS)
    async with scripted_session(card) as (session, channel):
        inserting = asyncio.create_task(session.insert({Slot.AUTHENTICATION, Slot.SIGNATURE}, pin_pad=False))
        inserted = await take_card(channel)
        assert await inserting == "reader"
        assert not inserted.pin_pad
        assert [(key.slot, key.pin_policy) for key in inserted.contents.keys] == [
            (Slot.AUTHENTICATION, PinPolicy.ONCE),
            (Slot.SIGNATURE, PinPolicy.ALWAYS),
        ]
        assert set(inserted.contents.objects) == {
            CHUID, CARD_CAPABILITY_CONTAINER, DISCOVERY,
            CERTIFICATES[Slot.AUTHENTICATION], CERTIFICATES[Slot.SIGNATURE],
        }  # fmt: skip
        assert inserted.contents.objects[CHUID] == card.contents.objects[CHUID]
        await channel.ask(PinRequest(None))
        uses = len(card.uses)
        with pytest.raises(RefusedError, match="not inserted"):
            await channel.ask(request_for(Slot.CARD_AUTHENTICATION))
        assert len(card.uses) == uses


async def test_a_refused_insertion_leaves_nothing_to_be_used() -> None:
    async with scripted_session(MemoryCard()) as (session, channel):
        inserting = asyncio.create_task(session.insert(ONLY_9A))
        number, _ = await expect(channel, InsertCard)
        channel.answer(number, Refusal(RefusalCode.NO_READER, "full"))
        with pytest.raises(RefusedError, match="full"):
            await inserting
        assert session._guard is not None
        assert session._guard.has_ended
        again = asyncio.create_task(session.insert(ONLY_9A))
        await take_card(channel)
        assert await again == "reader"


async def test_the_remote_uses_a_key_as_the_person_allows() -> None:
    person, card = Person(), MemoryCard()
    async with scripted_session(card, person=person) as (session, channel):
        inserting = asyncio.create_task(session.insert(ONLY_9A))
        await take_card(channel)
        await inserting
        with pytest.raises(RefusedError) as refused:
            await channel.ask(request_for(Slot.AUTHENTICATION))
        assert refused.value.code is RefusalCode.PIN_NEEDED
        await channel.ask(PinRequest(None))
        assert len(person.asked) == 1
        assert isinstance(await channel.ask(request_for(Slot.AUTHENTICATION)), KeyReply)


# Holding, ejecting, closing.


async def test_a_card_that_is_pulled_is_ejected_and_that_is_the_end() -> None:
    card = MemoryCard()
    async with scripted_session(card) as (session, channel):
        inserting = asyncio.create_task(session.insert(ONLY_9A))
        await take_card(channel)
        await inserting
        holding = asyncio.create_task(session.hold())
        await asyncio.sleep(0)
        card.pull()
        _, ejected = await expect(channel, EjectCard)
        assert ejected.reason == "The card was taken out."
        channel.notify(EjectCard("out"))
        with pytest.raises(CardRemovedError):
            await holding


async def test_a_card_that_the_remote_ejects_ends_the_hold_and_is_confirmed() -> None:
    watching = Watching()
    async with scripted_session(MemoryCard(), watching=watching) as (session, channel):
        for _ in range(2):
            inserting = asyncio.create_task(session.insert(ONLY_9A))
            await take_card(channel)
            await inserting
            channel.notify(EjectCard("the reader broke"))
            await session.hold()
            await expect(channel, EjectCard)
        assert watching.events[1:] == [Inserted("reader"), Ejected("the reader broke")] * 2


async def test_ejections_that_cross_need_no_confirmation() -> None:
    async with scripted_session(MemoryCard()) as (session, channel):
        inserting = asyncio.create_task(session.insert(ONLY_9A))
        await take_card(channel)
        await inserting
        ejecting = asyncio.create_task(session.eject("enough"))
        channel.notify(EjectCard("the reader broke"))
        await ejecting
        assert (await expect(channel, EjectCard))[1] == EjectCard("enough")
        again = asyncio.create_task(session.insert(ONLY_9A))
        await take_card(channel)
        assert await again == "reader"


async def test_from_the_ejection_on_nothing_is_answered_whatever_was_asked_before() -> None:
    class Slow(MemoryCard):
        def __init__(self) -> None:
            super().__init__()
            self.may_answer = asyncio.Event()
            self.may_answer.set()

        async def use_key(self, request: KeyRequest) -> KeyReply:
            reply = await super().use_key(request)
            await self.may_answer.wait()
            return reply

    card = Slow()
    async with scripted_session(card) as (session, channel):
        inserting = asyncio.create_task(session.insert(ONLY_9A))
        await take_card(channel)
        await inserting
        await channel.ask(PinRequest(None))
        card.may_answer.clear()
        uses = len(card.uses)
        asking = asyncio.create_task(channel.ask(request_for(Slot.AUTHENTICATION)))
        await until(lambda: len(card.uses) > uses)
        ejecting = asyncio.create_task(session.eject("enough"))
        await expect(channel, EjectCard)
        late = asyncio.create_task(channel.ask(PinRequest(PIN)))
        card.may_answer.set()
        for question in (asking, late):
            with pytest.raises(RefusedError) as refused:
                await question
            assert refused.value.code is RefusalCode.NOT_INSERTED
        channel.notify(EjectCard("out"))
        await ejecting


async def test_a_remote_that_never_confirms_an_ejection_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "EJECT_DEADLINE", 0.05)
    async with scripted_session(MemoryCard()) as (session, channel):
        inserting = asyncio.create_task(session.insert(ONLY_9A))
        await take_card(channel)
        await inserting
        begun = time.monotonic()
        await session.close("enough")
        assert time.monotonic() - begun < 1.5


async def test_a_lost_link_ends_the_hold_with_its_reason() -> None:
    async with scripted_session(MemoryCard()) as (session, channel):
        inserting = asyncio.create_task(session.insert(ONLY_9A))
        await take_card(channel)
        await inserting
        holding = asyncio.create_task(session.hold())
        await channel.close("Maintenance.", final=True)
        with pytest.raises(LinkError, match="Maintenance"):
            await holding
        assert session.is_final


@pytest.mark.parametrize("final", [True, False])
async def test_it_is_known_whether_the_remote_wants_no_new_connection(final: bool) -> None:
    async with scripted_session(MemoryCard()) as (session, channel):
        assert not session.is_final
        await channel.close("bye", final=final)
        await until(lambda: session._channel.is_lost)
        assert session.is_final is final


async def test_ejecting_what_is_not_inserted_does_nothing() -> None:
    async with scripted_session(MemoryCard()) as (session, channel):
        await session.eject("nothing")
        assert not channel.is_lost
        with pytest.raises(LinkError):
            await channel.next_question(0.02)


async def test_what_the_remote_calls_its_reader_is_all_that_comes_back() -> None:
    async with scripted_session(MemoryCard()) as (session, channel):
        inserting = asyncio.create_task(session.insert(ONLY_9A))
        number, _ = await expect(channel, InsertCard)
        channel.answer(number, CardInserted("Secure Remote Access 0"))
        assert await inserting == "Secure Remote Access 0"
