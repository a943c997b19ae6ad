"""What a remote is given of the card, and what of its Welcome counts."""

from __future__ import annotations

import asyncio

import pytest

from sra.admin import session as session_module
from sra.admin.guard.lending import GuardSettings
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.unlocking import Unlocking
from sra.errors import LinkError, ProtocolError, RefusedError
from sra.piv.keys import Algorithm, KeyRequest, Operation, PinRequest, Slot
from sra.piv.objects import CERTIFICATES, CardContents, build_certificate
from sra.wire.messages import CardInserted, Challenge, EjectCard, Hello, InsertCard, Proof, SessionLimits, Welcome
from tests.admin.asking import Slow, turns, typing
from tests.admin.connecting import connect, remote_at
from tests.admin.scripted_remote import ANY_PROOF, expect, let_in, scripted_session, take_card
from tests.admin.watching import Watching, lender
from tests.loopback import Door, listening, until
from tests.memory_card import PIN, MemoryCard, make_certificate, private_key

BOTH = {Slot.AUTHENTICATION: Algorithm.RSA_2048, Slot.KEY_MANAGEMENT: Algorithm.RSA_2048}
ALL = frozenset(BOTH) | {Slot.RETIRED_1}


def with_the_same_key(slot: Slot) -> MemoryCard:
    """A card whose 9A key is in that slot too."""
    card = MemoryCard({Slot.AUTHENTICATION: Algorithm.RSA_2048, slot: Algorithm.RSA_2048})
    same = build_certificate(make_certificate(private_key(Algorithm.RSA_2048, "ann", Slot.AUTHENTICATION)))
    card.contents = CardContents(card.contents.objects | {CERTIFICATES[slot]: same}, card.contents.keys)
    return card


@pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_1], ids=lambda slot: slot.name)
async def test_a_key_that_decrypts_and_is_9as_too_is_not_inserted(slot: Slot) -> None:
    async with scripted_session(with_the_same_key(slot)) as (session, channel):
        inserting = asyncio.create_task(session.insert(ALL))
        card = await take_card(channel)
        await inserting
        assert [key.slot for key in card.contents.keys] == [Slot.AUTHENTICATION]
        assert CERTIFICATES[slot] not in card.contents.objects
        await channel.ask(PinRequest(None))
        with pytest.raises(RefusedError, match="not inserted"):
            await channel.ask(KeyRequest(slot, Algorithm.RSA_2048, Operation.DECRYPT, b"\x00\x02" + bytes(254)))


async def test_two_keys_of_their_own_are_both_inserted() -> None:
    async with scripted_session(MemoryCard(BOTH)) as (session, channel):
        inserting = asyncio.create_task(session.insert(ALL))
        card = await take_card(channel)
        await inserting
        assert {key.slot for key in card.contents.keys} == set(BOTH)


@pytest.mark.parametrize("entry", PinEntry)
async def test_the_reader_has_a_pad_where_the_person_wants_one(entry: PinEntry) -> None:
    door = Door()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, MemoryCard(), terms=GuardSettings(entry)))
        channel = await door.next()
        number, _ = await expect(channel, Hello)
        channel.answer(number, ANY_PROOF)
        number, _ = await expect(channel, Proof)
        channel.answer(number, Welcome("ann", "host", SessionLimits(0, False, 0, 0), "1a2b3c4d"))
        session = await connecting
        inserting = asyncio.create_task(session.insert(ALL))
        number, inserted = await expect(channel, InsertCard)
        channel.answer(number, CardInserted("reader"))
        await inserting
        assert inserted.pin_pad is (entry is PinEntry.PAD)
        await channel.close("over")
        await session.close("over")


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (SessionLimits(0, False, 0, 0), PIN),
        (SessionLimits(3600, True, 0, 0), PIN),
        (SessionLimits(0, True, 0, 0), None),
    ],
    ids=["no limit", "an hour", "nothing"],
)
async def test_the_owner_of_the_remote_limits_how_long_the_pin_is_kept(
    limits: SessionLimits, kept: bytes | None
) -> None:
    door, card = Door(), MemoryCard()
    lending = lender(card)
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(session_module.connect(remote_at(port), lending, Unlocking(lending)))
        await _let_in(door, Welcome("ann", "host", limits, "1a2b3c4d"))
        session = await connecting
        assert session.limits == limits
        assert lending.memory.kept() == kept
        assert lending.memory.is_right(PIN)
        await session.close("over")


async def _let_in(door: Door, welcome: Welcome) -> None:
    channel = await door.next()
    number, _ = await expect(channel, Hello)
    channel.answer(number, Challenge(1, bytes(32)))
    number, _ = await expect(channel, Proof)
    channel.answer(number, welcome)


@pytest.mark.parametrize(
    "account",
    [
        "",
        "ann)    To connect to bank: PIN of alice (3 tries left",
        "ann\n",
        "“ann”",
        "a" * 65,
        "ann bo",
        "\u3164",
        "ann\u3164",
        "ａnn",
        "a\u200dnn",
        "\u1160",
        "ﬁ",
        "’ann",
        "ann＂",
    ],
)
async def test_a_remote_whose_account_could_pass_for_a_part_of_our_questions_is_left(account: str) -> None:
    door, watching = Door(), Watching()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, MemoryCard(), watching=watching))
        await _let_in(door, Welcome(account, "host", SessionLimits(0, False, 0, 0), "1a2b3c4d"))
        with pytest.raises(ProtocolError, match="no account"):
            await connecting
        assert watching.events == []


@pytest.mark.parametrize("account", ["ann", "ann.doe-1", "ann@agency.example", "AGENCY\\ann", "änne", "host$"])
async def test_names_of_accounts_as_directories_have_them_are_taken(account: str) -> None:
    door, watching = Door(), Watching()
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(connect(port, MemoryCard(), watching=watching))
        await _let_in(door, Welcome(account, "host", SessionLimits(0, False, 0, 0), "1a2b3c4d"))
        session = await connecting
        assert session.account == account.replace("ä", "\\xe4")
        await session.close("over")


async def test_ejecting_takes_the_question_from_the_screen_though_the_remote_says_nothing() -> None:
    door, person = Door(), Slow()
    person.answer(typing(PIN))
    lending = lender(MemoryCard(), person=person, terms=GuardSettings())
    lending.memory.limit(0)
    async with listening(door.welcome) as port:
        connecting = asyncio.create_task(session_module.connect(remote_at(port), lending, Unlocking(lending)))
        channel = await door.next()
        await let_in(channel)
        session = await connecting
        inserting = asyncio.create_task(session.insert(ALL))
        await take_card(channel)
        await inserting
        pad = asyncio.create_task(channel.ask(PinRequest(None)))
        await until(lambda: bool(person.shown))
        ejecting = asyncio.create_task(session.eject("enough"))
        await turns(lambda: not person.shown)
        with pytest.raises(RefusedError, match="ejected"):
            await pad
        channel.notify(EjectCard("out"))
        await ejecting
        await session.close("over")


async def test_a_remote_that_does_not_let_go_of_the_card_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "EJECT_DEADLINE", 0.05)
    async with scripted_session(MemoryCard()) as (session, channel):
        inserting = asyncio.create_task(session.insert(ALL))
        await take_card(channel)
        await inserting
        holding = asyncio.create_task(session.hold())
        await session.eject("enough")
        with pytest.raises(LinkError, match="did not say that the card is out"):
            await holding
