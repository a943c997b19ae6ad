"""OpenSC's own PKCS#11 module on a card in a reader: keys, pads, removal, as an eID card's module would have it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra.cards.pkcs11.backend import Pkcs11Backend, Pkcs11Card
from sra.cards.software.file import CardFolder
from sra.errors import CardRemovedError, KeyMissingError, PinNeededError, PinUnfitError, PinWrongError
from sra.piv.keys import PinOutcome, PinPolicy, Slot
from tests.cards.card_in_reader import Typist, inserted
from tests.cards.cards_in_readers import reset_by_other_program, wait_for_card
from tests.cards.conftest import EVERY_ALGORITHM, PIN
from tests.cards.private_pcscd import PrivatePcscd
from tests.cards.software.test_backend import check, request_for

MODULE = Path("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so")

KNOWN_TO_OPENSC = [slot for slot in EVERY_ALGORITHM if slot is not Slot.RETIRED_20]
"""OpenSC 0.23 has no RSA 4096 for PIV cards."""

PAD_READER = 2
"""One that no other test puts a card in: OpenSC asks a reader once in a process whether it has a pad, and an empty
reader offers what its last card did."""


@asynccontextmanager
async def opened(pcscd: PrivatePcscd, folder: CardFolder, typist: Typist | None = None) -> AsyncIterator[Pkcs11Card]:
    reader = PAD_READER if typist else 0
    async with inserted(folder.path, "ann", pcscd.socket(reader), typist=typist):
        await wait_for_card(pcscd.name(reader))
        card = await Pkcs11Backend([MODULE]).open("pkcs11:Ann")
        yield card
        await card.close()
    await wait_for_card(pcscd.name(reader), there=False)


async def test_a_piv_card_behind_opensc_has_the_slots_that_it_has(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with opened(pcscd, folder) as card:
        assert {key.slot: key.algorithm for key in card.contents.keys} == EVERY_ALGORITHM
        policies = {key.slot: key.pin_policy for key in card.contents.keys}
        assert policies[Slot.SIGNATURE] is PinPolicy.ALWAYS
        assert policies[Slot.CARD_AUTHENTICATION] is PinPolicy.NEVER
        assert not card.has_pin_pad


async def test_every_key_does_its_work_through_opensc(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with opened(pcscd, folder) as card:
        request = request_for(Slot.CARD_AUTHENTICATION)
        check(card, request, (await card.use_key(request)).output)
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.AUTHENTICATION))
        with pytest.raises(PinWrongError):
            await card.verify_pin(b"000000")
        for slot in KNOWN_TO_OPENSC:
            await card.verify_pin(PIN)
            request = request_for(slot)
            check(card, request, (await card.use_key(request)).output)


async def test_the_signature_key_always_wants_the_pin(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with opened(pcscd, folder) as card:
        for _ in range(2):
            await card.verify_pin(PIN)
            await card.use_key(request_for(Slot.SIGNATURE))
            with pytest.raises(PinNeededError, match="before each use"):
                await card.use_key(request_for(Slot.SIGNATURE))
        await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_the_pin_is_typed_on_the_readers_pad(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    typed: list[PinOutcome | bytes] = [PIN, b"000000", PinOutcome.CANCELLED, PIN]

    async def typist() -> PinOutcome | bytes:
        return typed.pop(0)

    async with opened(pcscd, folder, typist) as card:
        assert card.has_pin_pad
        await card.verify_on_pad()
        request = request_for(Slot.AUTHENTICATION)
        check(card, request, (await card.use_key(request)).output)
        with pytest.raises(PinWrongError):
            await card.verify_on_pad()
        with pytest.raises(PinNeededError):
            await card.verify_on_pad()
        await card.verify_on_pad()
        with pytest.raises(KeyMissingError, match="PIN pad behind PKCS#11"):
            await card.use_key(request_for(Slot.SIGNATURE))
        assert typed == []


@pytest.mark.parametrize("pin", [b"1", b"123456789"])
async def test_what_can_be_no_pin_costs_no_try(pcscd: PrivatePcscd, folder: CardFolder, pin: bytes) -> None:
    async with opened(pcscd, folder) as card:
        with pytest.raises(PinUnfitError, match="too long or too short"):
            await card.verify_pin(pin)
        assert await card.attempts_remaining() == 3


async def test_removal_is_seen(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with inserted(folder.path, "ann", pcscd.socket(0)):
        await wait_for_card(pcscd.name(0))
        card = await Pkcs11Backend([MODULE]).open("pkcs11:Ann")
        await card.verify_pin(PIN)
        removed = asyncio.create_task(card.wait_removed())
        await asyncio.sleep(0.05)
        assert not removed.done()
    begun = time.monotonic()
    await removed
    assert time.monotonic() - begun < 1
    with pytest.raises(CardRemovedError):
        await card.use_key(request_for(Slot.AUTHENTICATION))
    await card.close()


async def test_another_program_may_reset_the_card(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with opened(pcscd, folder) as card:
        await card.verify_pin(PIN)
        await card.use_key(request_for(Slot.AUTHENTICATION))
        await reset_by_other_program(pcscd)
        await card.verify_pin(PIN)
        request = request_for(Slot.AUTHENTICATION)
        check(card, request, (await card.use_key(request)).output)
