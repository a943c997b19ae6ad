"""A card in a reader is shared with other programs, which keep it, reset it, or look at it."""

from __future__ import annotations

import asyncio
import time

import pytest

from sra.admin.cards.pcsc import PcscBackend, PcscCard
from sra.admin.cards.softcard_file import CardFolder
from sra.errors import (
    CardBusyError,
    PinNeededError,
)
from sra.piv.keys import Slot
from tests.admin.cards.cards_in_readers import PATIENCE, on_card, other_program, reset_by_other_program
from tests.admin.cards.conftest import PIN
from tests.admin.cards.private_pcscd import PrivatePcscd
from tests.admin.cards.test_software import check, request_for


def test_after_a_reset_by_another_program_the_pin_is_needed_again(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        await card.verify_pin(PIN)
        await reset_by_other_program(pcscd)
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.AUTHENTICATION))
        await card.verify_pin(PIN)
        await card.use_key(request_for(Slot.AUTHENTICATION))

    on_card(pcscd, folder, body)


def test_after_a_reset_a_key_that_wants_no_pin_just_works(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        await reset_by_other_program(pcscd)
        request = request_for(Slot.CARD_AUTHENTICATION)
        check(card, request, (await card.use_key(request)).output)

    on_card(pcscd, folder, body)


def test_closing_ends_the_pin_state_for_everybody(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        other = await PcscBackend().open(card.name)
        await card.verify_pin(PIN)
        await card.close()
        with pytest.raises(PinNeededError):
            await other.use_key(request_for(Slot.AUTHENTICATION))
        await other.close()

    on_card(pcscd, folder, body)


def test_a_card_that_another_program_keeps_is_busy_and_then_free_again(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        other = other_program(pcscd)
        with other.transaction():
            begun = time.monotonic()
            with pytest.raises(CardBusyError, match="Another program"):
                await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
            assert PATIENCE <= time.monotonic() - begun < PATIENCE + 0.3
        await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
        other.disconnect(forget=False)

    on_card(pcscd, folder, body)


def test_what_was_given_up_is_not_done_later(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        other = other_program(pcscd)
        with other.transaction(), pytest.raises(CardBusyError):
            await card.verify_pin(b"654321")
        assert await card.attempts_remaining() == 3
        other.disconnect(forget=False)

    on_card(pcscd, folder, body)


def test_a_short_wait_for_another_program_is_no_error(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        other = other_program(pcscd)
        with other.transaction():
            using = asyncio.create_task(card.use_key(request_for(Slot.CARD_AUTHENTICATION)))
            await asyncio.sleep(PATIENCE / 4)
            assert not using.done()
        await using
        other.disconnect(forget=False)

    on_card(pcscd, folder, body)
