"""A reader, from both of its sides: the holder of the card, and the virtual card process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sra.errors import LinkError, RefusalCode, RefusedError
from sra.piv.keys import KeyReply, KeyRequest, PinOutcome, PinReply, PinRequest
from sra.remote.daemon import readers as readers_module
from sra.remote.daemon.readers import Reader
from sra.remote.virtual_card.daemon_link import DaemonLink
from sra.transport.channel import Channel
from sra.wire.messages import CardInserted, EjectCard, InsertCard, Message, Refusal
from sra.wire.states import Role, State
from tests.admin.connecting import connect
from tests.admin.watching import Watching
from tests.loopback import DEADLINE, Door, dial, listening, until
from tests.memory_card import MemoryCard
from tests.memory_remote import running_remote
from tests.remote.daemon.raw_virtual_card import attached
from tests.wire.samples import CONTENTS, KEY_REQUEST

CARD = InsertCard(CONTENTS, pin_pad=True)


class Owner:
    """A ``Holder`` that answers everything."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    async def use_key(self, request: KeyRequest) -> KeyReply:
        return KeyReply(request.input)

    async def check_pin(self, request: PinRequest) -> PinReply:
        return PinReply(PinOutcome.VERIFIED, 3)

    def card_lost(self, reason: str) -> None:
        self.lost.append(reason)


class Card:
    """A card that goes in and out at once."""

    async def open(self) -> None:
        """It is in."""

    async def close(self) -> None:
        """It is out."""


@asynccontextmanager
async def reader_and_link() -> AsyncIterator[tuple[Reader, DaemonLink, Channel]]:
    """A reader of srad, its virtual card, and that one's channel."""
    door = Door()
    async with listening(door.welcome, Role.ADMIN, State.AUTHENTICATED) as port:
        there = await dial(port, Role.REMOTE, State.AUTHENTICATED)
        here = await door.next()
        reader = Reader(3, here)
        link = DaemonLink(there, "reader 3", lambda *_: Card())
        serving = [asyncio.create_task(here.serve(reader)), asyncio.create_task(link.serve())]
        yield reader, link, there
        await there.close("over")
        await asyncio.gather(*serving)


async def test_a_reader_is_free_until_a_card_is_in_and_again_when_it_is_out() -> None:
    async with reader_and_link() as (reader, _, _):
        owner = Owner()
        assert reader.is_free
        assert await reader.insert(owner, CARD) == CardInserted("reader 3")
        assert not reader.is_free
        await reader.eject(owner, "enough")
        assert reader.is_free
        assert owner.lost == []
        assert await reader.insert(Owner(), CARD) == CardInserted("reader 3")


async def test_a_reader_is_taken_from_the_moment_of_the_insertion() -> None:
    async with reader_and_link() as (reader, _, _):
        inserting = asyncio.create_task(reader.insert(Owner(), CARD))
        await asyncio.sleep(0)
        assert not reader.is_free
        await inserting


async def test_questions_go_to_whose_card_it_is() -> None:
    async with reader_and_link() as (reader, link, _):
        await reader.insert(Owner(), CARD)
        assert await link.use_key(KEY_REQUEST) == KeyReply(KEY_REQUEST.input)
        assert await link.check_pin(PinRequest(None)) == PinReply(PinOutcome.VERIFIED, 3)


async def test_only_the_holder_can_have_its_card_ejected() -> None:
    async with reader_and_link() as (reader, _, _):
        owner = Owner()
        await reader.insert(owner, CARD)
        await reader.eject(Owner(), "not mine")
        assert not reader.is_free
        await reader.eject(owner, "mine")
        assert reader.is_free


async def test_ejecting_during_the_insertion_waits_for_it_and_then_empties_the_reader() -> None:
    async with reader_and_link() as (reader, _, _):
        owner = Owner()
        inserting = asyncio.create_task(reader.insert(owner, CARD))
        await asyncio.sleep(0)
        inserting.cancel()
        await reader.eject(owner, "gone already")
        assert reader.is_free
        assert inserting.cancelled()


async def test_a_reader_whose_process_went_is_not_free() -> None:
    async with reader_and_link() as (reader, _, there):
        there.abort(LinkError("killed"))
        await until(lambda: reader._channel.is_lost)
        assert not reader.is_free
        with pytest.raises(LinkError):
            await reader.insert(Owner(), CARD)
        assert not reader.is_free


async def test_a_lost_reader_tells_its_holder_once() -> None:
    async with reader_and_link() as (reader, _, _):
        owner = Owner()
        await reader.insert(owner, CARD)
        reader.lost()
        reader.lost()
        assert len(owner.lost) == 1


# A process that does strange things, seen from the admin.


async def test_a_card_that_the_process_ejects_by_itself_is_ejected_for_the_admin() -> None:
    watching = Watching()
    async with running_remote(readers=0) as remote, attached(remote.local_port) as process:
        remote.accounts.pair(card := MemoryCard(), "ann")
        session = await connect(remote.port, card, watching=watching)
        inserting = asyncio.create_task(session.insert({key.slot for key in card.contents.keys}))
        number, _ = await process.expect(InsertCard)
        process.say((number, CardInserted("reader")))
        await inserting
        process.say((0, EjectCard("the reader broke")))
        await session.hold()
        assert "the reader broke" in str(watching.events[-1])
        await process.expect(EjectCard)
        assert remote.records.events == ["authenticated", "inserted", "ejected"]
        await session.close("bye")


async def test_a_card_that_is_in_and_out_in_one_breath_is_not_held_for_inserted() -> None:
    async with running_remote(readers=0) as remote, attached(remote.local_port) as process:
        remote.accounts.pair(card := MemoryCard(), "ann")
        session = await connect(remote.port, card)
        inserting = asyncio.create_task(session.insert({key.slot for key in card.contents.keys}))
        number, _ = await process.expect(InsertCard)
        process.say((number, CardInserted("reader")), (0, EjectCard("the reader broke")))
        with pytest.raises(RefusedError, match="lost the card again"):
            await inserting
        await session.close("bye")


@pytest.mark.parametrize(
    "answer", [Refusal(RefusalCode.NO_READER, "broken"), Refusal(RefusalCode.INTERNAL, "x" * 1000)]
)
async def test_what_the_process_says_of_a_failed_insertion_reaches_the_admin(answer: Refusal) -> None:
    async with running_remote(readers=0) as remote, attached(remote.local_port) as process:
        remote.accounts.pair(card := MemoryCard(), "ann")
        session = await connect(remote.port, card)
        inserting = asyncio.create_task(session.insert({key.slot for key in card.contents.keys}))
        number, _ = await process.expect(InsertCard)
        process.say((number, answer))
        with pytest.raises(RefusedError) as refused:
            await inserting
        assert refused.value.text.startswith(f"The card could not be inserted: {answer.text[:6]}")
        await session.close("bye")


@pytest.mark.parametrize(
    "wrong",
    [(0, EjectCard("nothing is in")), (1, KEY_REQUEST), (7, CardInserted("unasked")), (2, PinRequest(None))],
    ids=["ejection", "key request", "answer", "pin"],
)
async def test_a_process_that_breaks_a_rule_is_cut_off(wrong: tuple[int, Message]) -> None:
    async with running_remote(readers=0) as remote, attached(remote.local_port) as process:
        process.say(wrong)
        assert await process.is_cut_off()


async def test_a_late_key_request_of_a_card_that_was_ejected_is_refused() -> None:
    async with running_remote(readers=0) as remote, attached(remote.local_port) as process:
        remote.accounts.pair(card := MemoryCard(), "ann")
        session = await connect(remote.port, card)
        inserting = asyncio.create_task(session.insert({key.slot for key in card.contents.keys}))
        number, _ = await process.expect(InsertCard)
        process.say((number, CardInserted("reader")))
        await inserting
        uses = len(card.uses)
        ejecting = asyncio.create_task(session.eject("enough"))
        await process.expect(EjectCard)
        process.say((2, KEY_REQUEST), (0, EjectCard("out")))
        _, refusal = await process.expect(Refusal)
        assert refusal.code is RefusalCode.NOT_INSERTED
        await ejecting
        assert len(card.uses) == uses
        await session.close("bye")


async def test_an_ejection_that_the_process_does_not_confirm_cuts_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "INSERT_DEADLINE", 0.03)
    monkeypatch.setattr(readers_module, "EJECT_DEADLINE", 0.03)
    door = Door()
    async with listening(door.welcome, Role.ADMIN, State.AUTHENTICATED) as port:
        there = await dial(port, Role.REMOTE, State.AUTHENTICATED)
        here = await door.next()
        reader, owner = Reader(0, here), Owner()
        serving = asyncio.create_task(here.serve(reader))
        inserting = asyncio.create_task(reader.insert(owner, CARD))
        question = await there.next_question(DEADLINE)
        there.answer(question.number, CardInserted("reader"))
        await inserting
        await reader.eject(owner, "enough")
        await serving
        assert not reader.is_free
