"""The PIN of a card in a reader: changed, unblocked, forgotten, and typed on the reader's own pad."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sra.cards.base import Card
from sra.cards.pcsc.backend import PcscCard
from sra.cards.software.file import CardFolder
from sra.errors import (
    CardError,
    PinBlockedError,
    PinNeededError,
    PinWrongError,
    PukBlockedError,
    PukWrongError,
    UsageError,
)
from sra.piv.apdu import Instruction
from sra.piv.keys import PinOutcome, Slot
from sra.remote.virtual_card.applet import Applet
from tests.cards.card_in_reader import Typist
from tests.cards.cards_in_readers import PATIENCE, opened
from tests.cards.conftest import PIN, PUK
from tests.cards.fuller_card import FullerCard
from tests.cards.private_pcscd import PrivatePcscd
from tests.cards.software.test_backend import check, request_for

NEW, WRONG = b"777777", b"654321"


@asynccontextmanager
async def fuller_card(
    pcscd: PrivatePcscd, folder: CardFolder, *, typist: Typist | None = None, forgets_pin: bool = True
) -> AsyncIterator[tuple[PcscCard, FullerCard]]:
    made: list[FullerCard] = []

    def wrap(applet: Applet, card: Card) -> FullerCard:
        made.append(FullerCard(applet, card, forgets_pin=forgets_pin))
        return made[0]

    async with opened(pcscd, folder, typist=typist, wrap=wrap) as card:
        yield card, made[0]


async def test_the_pin_is_changed_by_who_knows_it(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder) as (card, _):
        with pytest.raises(PinWrongError) as caught:
            await card.change_pin(WRONG, NEW)
        assert caught.value.attempts_remaining == 2
        await card.change_pin(PIN, NEW)
        with pytest.raises(PinWrongError):
            await card.verify_pin(PIN)
        await card.verify_pin(NEW)


async def test_what_a_card_has_told_of_its_tries_is_no_guess(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder) as (card, _):
        await card.verify_pin(PIN)
        assert await card.attempts_told() is None
        assert await card.attempts_remaining() == 3
        with pytest.raises(PinWrongError):
            await card.verify_pin(WRONG)
        assert (await card.attempts_told(), await card.attempts_remaining()) == (2, 2)
        await card.verify_pin(PIN)
        assert (await card.attempts_told(), await card.attempts_remaining()) == (2, 3)


async def test_a_blocked_pin_is_unblocked_by_the_puk(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder) as (card, _):
        for _ in range(3):
            with pytest.raises((PinWrongError, PinBlockedError)):
                await card.verify_pin(WRONG)
        with pytest.raises(PinBlockedError):
            await card.change_pin(PIN, NEW)
        with pytest.raises(PukWrongError) as caught:
            await card.unblock_pin(WRONG, NEW)
        assert caught.value.attempts_remaining == 2
        await card.unblock_pin(PUK, NEW)
        await card.verify_pin(NEW)


async def test_a_blocked_puk_is_told(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder) as (card, _):
        for _ in range(2):
            with pytest.raises(PukWrongError):
                await card.unblock_pin(WRONG, NEW)
        for puk in (WRONG, PUK):
            with pytest.raises(PukBlockedError):
                await card.unblock_pin(puk, NEW)


async def test_what_can_be_no_pin_never_gets_to_the_card(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder) as (card, behind):
        before = len(behind.asked)
        for new in (b"", b"12345", b"123456789", b"12 456"):
            with pytest.raises(UsageError, match="6 to 8"):
                await card.change_pin(PIN, new)
            with pytest.raises(UsageError, match="6 to 8"):
                await card.unblock_pin(PUK, new)
        with pytest.raises(CardError, match="A PUK has 1 to 8"):
            await card.unblock_pin(b"123456789", NEW)
        assert len(behind.asked) == before
        with pytest.raises(UsageError, match="does not take that"):
            await card.change_pin(PIN, b"000000")


async def test_a_card_that_can_not_change_its_pin_says_so(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with opened(pcscd, folder) as card:
        for change in (card.change_pin(PIN, NEW), card.unblock_pin(PUK, NEW)):
            with pytest.raises(CardError, match="6A81"):
                await change


@pytest.mark.parametrize("forgets_pin", [True, False])
async def test_a_locked_card_wants_its_pin_again(pcscd: PrivatePcscd, folder: CardFolder, *, forgets_pin: bool) -> None:
    async with fuller_card(pcscd, folder, forgets_pin=forgets_pin) as (card, behind):
        await card.verify_pin(PIN)
        await card.use_key(request_for(Slot.AUTHENTICATION))
        await card.lock()
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.AUTHENTICATION))
        await card.verify_pin(PIN)
        await card.use_key(request_for(Slot.AUTHENTICATION))
        assert any(command.ins == Instruction.VERIFY and command.p1 == 0xFF for command in behind.asked)


class Fingers:
    """Somebody at the pad, who types these one after another, and takes their time."""

    def __init__(self, *given: PinOutcome | bytes, seconds: float = 0.0) -> None:
        self._given = list(given)
        self._seconds = seconds

    async def type(self) -> PinOutcome | bytes:
        await asyncio.sleep(self._seconds)
        return self._given.pop(0)


async def test_the_pin_typed_on_the_reader_opens_the_keys(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder, typist=Fingers(PIN).type) as (card, behind):
        assert card.has_pin_pad
        await card.verify_on_pad()
        request = request_for(Slot.AUTHENTICATION)
        check(card, request, (await card.use_key(request)).output)
        assert not [command for command in behind.asked if command.ins == Instruction.VERIFY and command.data]


async def test_a_person_at_the_pad_may_take_their_time(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder, typist=Fingers(PIN, seconds=3 * PATIENCE).type) as (card, _):
        begun = time.monotonic()
        await card.verify_on_pad()
        assert time.monotonic() - begun > 3 * PATIENCE


async def test_wrong_pins_on_the_pad_are_counted(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder, typist=Fingers(WRONG, WRONG, WRONG).type) as (card, _):
        for left in (2, 1):
            with pytest.raises(PinWrongError) as caught:
                await card.verify_on_pad()
            assert caught.value.attempts_remaining == left
        with pytest.raises(PinBlockedError):
            await card.verify_on_pad()


async def test_a_pad_at_which_nothing_is_typed_costs_no_try(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder, typist=Fingers(PinOutcome.TIMED_OUT, PinOutcome.CANCELLED).type) as (card, _):
        with pytest.raises(PinNeededError, match="in time"):
            await card.verify_on_pad()
        with pytest.raises(PinNeededError, match="refused on the reader"):
            await card.verify_on_pad()
        assert await card.attempts_remaining() == 3
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_without_a_pad_there_is_none(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with fuller_card(pcscd, folder) as (card, _):
        assert not card.has_pin_pad
        with pytest.raises(CardError, match="no PIN pad"):
            await card.verify_on_pad()
