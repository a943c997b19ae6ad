"""The guard and the PIN: what may be tried, how often, and what the card sees of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sra.admin.events import PinAsked
from sra.admin.guard.guard import Guard
from sra.admin.guard.lending import LendingState
from sra.admin.guard.session_code import TRIES as TYPED_TRIES
from sra.cards.base import Card
from sra.cards.software.backend import SoftwareBackend
from sra.cards.software.file import CardFolder
from sra.cards.software.maker import CardHolder, CardOrder, make, parse_subject, validity
from sra.errors import (
    PinBlockedError,
    PinNeededError,
    PinWrongError,
)
from sra.piv.keys import PinOutcome, PinRequest, Slot
from tests.admin.guard_scene import KEYS, PAD, TYPED, WRONG, Scene, request_for
from tests.admin.watching import Watching, lender
from tests.memory_card import PIN, MemoryCard


async def test_the_right_pin_may_be_typed_padded_or_not() -> None:
    scene = Scene()
    assert await scene.outcome(TYPED) == (PinOutcome.VERIFIED, TYPED_TRIES)
    assert await scene.outcome(PinRequest(PIN + b"\xff\xff")) == (PinOutcome.VERIFIED, TYPED_TRIES)
    assert scene.watching.of(PinAsked) == [PinAsked(True, PinOutcome.VERIFIED)] * 2
    assert scene.person.asked == []


async def test_after_three_wrong_pins_even_the_right_one_is_blocked() -> None:
    scene = Scene()
    assert await scene.outcome(WRONG) == (PinOutcome.WRONG, 2)
    assert await scene.outcome(WRONG) == (PinOutcome.WRONG, 1)
    assert await scene.outcome(WRONG) == (PinOutcome.BLOCKED, 0)
    assert await scene.outcome(TYPED) == (PinOutcome.BLOCKED, 0)
    assert await scene.outcome(PAD) == (PinOutcome.BLOCKED, 0)
    assert "not-allowed" in await scene.refusal(request_for(Slot.AUTHENTICATION))


async def test_a_remote_that_has_the_card_inserted_anew_gets_no_new_tries() -> None:
    scene = Scene()
    await scene.outcome(WRONG)
    scene.guard = scene.new_guard()
    assert await scene.outcome(WRONG) == (PinOutcome.WRONG, 1)
    scene.guard = scene.new_guard()
    assert await scene.outcome(WRONG) == (PinOutcome.BLOCKED, 0)
    scene.guard = scene.new_guard()
    assert await scene.outcome(TYPED) == (PinOutcome.BLOCKED, 0)


async def test_a_card_inserted_anew_wants_its_pin_anew() -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    scene.guard = scene.new_guard()
    assert "pin-needed" in await scene.refusal(request_for(Slot.AUTHENTICATION))


async def test_the_right_pin_gives_the_tries_back() -> None:
    scene = Scene()
    await scene.outcome(WRONG)
    await scene.outcome(WRONG)
    assert await scene.outcome(TYPED) == (PinOutcome.VERIFIED, TYPED_TRIES)


async def test_a_wrong_pin_ends_what_the_right_one_had_allowed() -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    await scene.guard.answer(WRONG)
    assert "pin-needed" in await scene.refusal(request_for(Slot.AUTHENTICATION))


@pytest.mark.parametrize("typed", [b"1", b"12345", b"1234567", b"\xff" * 8, b"\x00" * 8, b"123456\x00\x00"])
async def test_what_is_almost_the_pin_is_wrong(typed: bytes) -> None:
    scene = Scene()
    assert await scene.outcome(PinRequest(typed)) == (PinOutcome.WRONG, 2)


async def test_the_person_agrees_at_the_pad() -> None:
    scene = Scene()
    assert await scene.outcome(PAD) == (PinOutcome.VERIFIED, TYPED_TRIES)
    await scene.guard.answer(request_for(Slot.AUTHENTICATION))
    assert len(scene.person.asked) == 1


async def test_the_person_declines_at_the_pad() -> None:
    scene = Scene(agrees=False)
    assert await scene.outcome(PAD) == (PinOutcome.CANCELLED, TYPED_TRIES)
    assert scene.watching.of(PinAsked) == [PinAsked(False, PinOutcome.CANCELLED)]
    assert "pin-needed" in await scene.refusal(request_for(Slot.AUTHENTICATION))


@pytest.fixture(scope="module")
def softcards(tmp_path_factory: pytest.TempPathFactory) -> CardFolder:
    folder = CardFolder(tmp_path_factory.mktemp("cards"))
    order = CardOrder(KEYS, CardHolder(parse_subject("Ann")), None, validity(datetime.now(UTC), days=30))
    folder.create("ann", make(order, PIN, b"PUKPUKPU"))
    return folder


@asynccontextmanager
async def on_softcard(folder: Path) -> AsyncIterator[tuple[Card, Guard]]:
    card = await SoftwareBackend(folder).open("software:ann")
    guard = Guard(LendingState(lender(card, watching=Watching(), known=True), "remote", "ann"), card.contents.keys)
    yield card, guard
    await card.close()


async def test_pins_typed_on_the_remote_never_cost_the_card_a_try(softcards: CardFolder) -> None:
    async with on_softcard(softcards.path) as (card, guard):
        before = await card.attempts_remaining()
        for _ in range(TYPED_TRIES + 1):
            await guard.answer(WRONG)
        assert await card.attempts_remaining() == before == 3


async def test_a_card_that_was_reset_gets_its_pin_once_more(softcards: CardFolder) -> None:
    async with on_softcard(softcards.path) as (card, guard):
        await guard.answer(TYPED)
        first = await guard.answer(request_for(Slot.AUTHENTICATION))
        await card.close()
        assert await guard.answer(request_for(Slot.AUTHENTICATION)) == first
        assert await card.attempts_remaining() == 3


async def test_a_card_that_wants_its_pin_again_and_again_is_asked_twice_and_no_more() -> None:
    class Forgetful(MemoryCard):
        async def verify_pin(self, pin: bytes) -> None:
            await super().verify_pin(pin)
            self.forget_pin()

    card = Forgetful(KEYS)
    guard = Guard(LendingState(lender(card, known=True), "remote", "ann"), card.contents.keys)
    await guard.answer(TYPED)
    with pytest.raises(PinNeededError):
        await guard.answer(request_for(Slot.AUTHENTICATION))
    assert (len(card.uses), len(card.verifications)) == (2, 1)


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.SIGNATURE], ids=lambda slot: slot.name)
async def test_a_pin_that_was_changed_meanwhile_is_tried_once_and_never_again(slot: Slot) -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    scene.card.pin = b"999999"
    with pytest.raises(PinWrongError):
        await scene.guard.answer(request_for(slot))
    assert await scene.outcome(PAD) == (PinOutcome.WRONG, 2)
    scene.guard = scene.new_guard()
    assert await scene.outcome(PAD) == (PinOutcome.WRONG, 2)
    assert scene.card.verifications == [PIN]
    assert scene.card.tries == 2
    assert await scene.outcome(TYPED) == (PinOutcome.WRONG, 2)


async def test_a_card_that_is_blocked_is_left_alone() -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    scene.card.tries = 0
    with pytest.raises(PinBlockedError):
        await scene.guard.answer(request_for(Slot.AUTHENTICATION))
    assert "pin-needed" in await scene.refusal(request_for(Slot.AUTHENTICATION))
    assert scene.card.verifications == [PIN]
