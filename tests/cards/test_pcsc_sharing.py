"""A card in a reader is shared with other programs, which keep it, reset it, or look at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from smartcard import scard

from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.backend import PcscBackend, PcscCard
from sra.cards.pcsc.pcsc_session import NOTICE_AFTER
from sra.cards.software.file import CardFolder
from sra.errors import (
    CardBusyError,
    PinNeededError,
)
from sra.piv.keys import Slot
from tests.cards.card_in_reader import inserted
from tests.cards.cards_in_readers import PATIENCE, other_program, reset_by_other_program, wait_for_card
from tests.cards.conftest import PIN
from tests.cards.private_pcscd import PrivatePcscd
from tests.cards.software.test_backend import check, request_for


async def test_after_a_reset_by_another_program_the_pin_is_needed_again(card: PcscCard, pcscd: PrivatePcscd) -> None:
    await card.verify_pin(PIN)
    await reset_by_other_program(pcscd)
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(Slot.AUTHENTICATION))
    await card.verify_pin(PIN)
    await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_after_a_reset_a_key_that_wants_no_pin_just_works(card: PcscCard, pcscd: PrivatePcscd) -> None:
    await reset_by_other_program(pcscd)
    request = request_for(Slot.CARD_AUTHENTICATION)
    check(card, request, (await card.use_key(request)).output)


async def test_closing_ends_the_pin_state_for_everybody(card: PcscCard) -> None:
    other = await PcscBackend().open(card.name)
    await card.verify_pin(PIN)
    await card.close()
    with pytest.raises(PinNeededError):
        await other.use_key(request_for(Slot.AUTHENTICATION))
    await other.close()


async def test_a_card_that_another_program_keeps_is_busy_and_then_free_again(
    card: PcscCard, pcscd: PrivatePcscd
) -> None:
    other = other_program(pcscd)
    with other.transaction():
        begun = time.monotonic()
        with pytest.raises(CardBusyError, match="Another program"):
            await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
        assert PATIENCE <= time.monotonic() - begun < PATIENCE + 5
    await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
    other.disconnect(forget=False)


async def test_what_was_given_up_is_not_done_later(card: PcscCard, pcscd: PrivatePcscd) -> None:
    other = other_program(pcscd)
    with other.transaction(), pytest.raises(CardBusyError):
        await card.verify_pin(b"654321")
    assert await card.attempts_remaining() == 3
    other.disconnect(forget=False)


async def test_a_short_wait_for_another_program_is_no_error(card: PcscCard, pcscd: PrivatePcscd) -> None:
    other = other_program(pcscd)
    with other.transaction():
        using = asyncio.create_task(card.use_key(request_for(Slot.CARD_AUTHENTICATION)))
        await asyncio.sleep(PATIENCE / 4)
        assert not using.done()
    await using
    other.disconnect(forget=False)


def notices_while(pcscd: PrivatePcscd, folder: CardFolder, seconds: float, *, alone: bool) -> list[str]:
    """What a person is told while another program keeps the card for so long, all alone or by a transaction."""
    told: list[str] = []

    async def run() -> None:
        async with inserted(folder.path, "ann", pcscd.socket(0)):
            await wait_for_card(pcscd.name(0))
            backend = PcscBackend(patience=5, notice=told.append)
            card = None if alone else await backend.open(f"pcsc:{pcscd.name(0)}")
            letting_go = await asyncio.to_thread(keep, pcscd, alone=alone)
            asyncio.get_running_loop().call_later(seconds, letting_go)
            card = card or await backend.open(f"pcsc:{pcscd.name(0)}")
            await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
            await card.close()
        await wait_for_card(pcscd.name(0), there=False)

    asyncio.run(run())
    return told


def keep(pcscd: PrivatePcscd, *, alone: bool) -> Callable[[], None]:
    """As another program, keep the card; what lets it go."""
    context = pcsc_reader.establish()
    how = scard.SCARD_SHARE_EXCLUSIVE if alone else scard.SCARD_SHARE_SHARED
    code, card, _ = scard.SCardConnect(context, pcscd.name(0), how, scard.SCARD_PROTOCOL_T1)
    assert code == scard.SCARD_S_SUCCESS
    if not alone:
        assert scard.SCardBeginTransaction(card) == scard.SCARD_S_SUCCESS

    def let_go() -> None:
        if not alone:
            scard.SCardEndTransaction(card, scard.SCARD_LEAVE_CARD)
        scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
        scard.SCardReleaseContext(context)

    return let_go


@pytest.mark.parametrize("alone", [True, False])
def test_a_person_is_told_once_what_a_card_waits_for(pcscd: PrivatePcscd, folder: CardFolder, *, alone: bool) -> None:
    told = notices_while(pcscd, folder, NOTICE_AFTER + 0.5, alone=alone)
    assert told == ["Another program is using the card; waiting for it."]


def test_nobody_is_told_of_a_moment(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    assert notices_while(pcscd, folder, NOTICE_AFTER / 4, alone=False) == []


async def test_the_pin_that_another_program_has_verified_is_no_obstacle(card: PcscCard) -> None:
    other = await PcscBackend().open(card.name)
    await other.verify_pin(PIN)
    assert await card.attempts_remaining() == 3
    await card.verify_pin(PIN)
    await other.close()  # which resets the card
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_closing_leaves_alone_the_pin_that_another_program_has_verified(card: PcscCard) -> None:
    other = await PcscBackend().open(card.name)
    await card.verify_pin(PIN)
    await other.close()
    await card.use_key(request_for(Slot.AUTHENTICATION))
