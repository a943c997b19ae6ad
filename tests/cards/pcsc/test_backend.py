"""Cards in readers: a real pcscd, the real driver, and a software card that behaves as a real one would."""

from __future__ import annotations

import asyncio

import pytest

from sra.cards.pcsc.backend import PcscBackend, PcscCard
from sra.cards.software.file import CardFolder
from sra.errors import (
    CardError,
    CardRemovedError,
    KeyMissingError,
    PinBlockedError,
    PinNeededError,
    PinWrongError,
)
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot
from tests.cards.card_in_reader import inserted
from tests.cards.cards_in_readers import wait_for_card
from tests.cards.conftest import EVERY_ALGORITHM, PIN
from tests.cards.private_pcscd import PrivatePcscd
from tests.cards.software.test_backend import check, request_for


async def test_everything_readable_is_the_software_card_s(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with inserted(folder.path, "ann", pcscd.socket(0)) as behind:
        await wait_for_card(pcscd.name(0))
        card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
        assert card.contents.objects == behind.contents.objects
        assert set(card.contents.keys) == set(behind.contents.keys)
        await card.close()


async def test_reading_it_again_takes_nothing_from_the_card(card: PcscCard, pcscd: PrivatePcscd) -> None:
    assert card.contents is card.contents
    assert card.name == f"pcsc:{pcscd.name(0)}"


@pytest.mark.parametrize("slot", EVERY_ALGORITHM)
async def test_every_key_does_its_work_after_the_pin(card: PcscCard, slot: Slot) -> None:
    await card.verify_pin(PIN)
    request = request_for(slot)
    check(card, request, (await card.use_key(request)).output)


async def test_keys_want_the_pin_and_the_signature_key_each_time(card: PcscCard) -> None:
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(Slot.AUTHENTICATION))
    await card.verify_pin(PIN)
    await card.use_key(request_for(Slot.SIGNATURE))
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(Slot.SIGNATURE))
    await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_tries_are_counted_by_the_card(card: PcscCard) -> None:
    assert await card.attempts_remaining() == 3
    with pytest.raises(PinWrongError) as caught:
        await card.verify_pin(b"654321")
    assert caught.value.attempts_remaining == 2
    assert await card.attempts_remaining() == 2
    await card.verify_pin(PIN)
    assert await card.attempts_remaining() == 3


async def test_a_blocked_pin_is_told(card: PcscCard) -> None:
    for _ in range(3):
        with pytest.raises(CardError):
            await card.verify_pin(b"654321")
    with pytest.raises(PinBlockedError):
        await card.verify_pin(PIN)
    assert await card.attempts_remaining() == 0


async def test_a_missing_key_is_told(card: PcscCard) -> None:
    await card.verify_pin(PIN)
    with pytest.raises(KeyMissingError):
        await card.use_key(KeyRequest(Slot.RETIRED_2, Algorithm.P256, Operation.SIGN, b"x" * 32))


async def test_a_second_use_needs_no_second_pin_even_while_others_look(card: PcscCard) -> None:
    await card.verify_pin(PIN)
    await PcscBackend().find()
    uses = (card.use_key(request_for(Slot.AUTHENTICATION)) for _ in range(5))
    assert len({reply.output for reply in await asyncio.gather(*uses)}) == 1


async def test_a_closed_card_does_nothing_more(card: PcscCard) -> None:
    await card.close()
    with pytest.raises(CardRemovedError, match="connect to it again"):
        await card.use_key(request_for(Slot.CARD_AUTHENTICATION))


async def test_the_event_loop_goes_on_while_the_card_works(card: PcscCard) -> None:
    verifying = asyncio.create_task(card.verify_pin(PIN))
    turns = 0
    while not verifying.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5
