"""What a card tells of its keys: policies and touches, and keys that no history counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sra.cards.base import Card
from sra.cards.pcsc.backend import PcscCard
from sra.cards.pcsc.pcsc_contents import KeyMetadata, read_card, read_metadata
from sra.cards.pcsc.piv import PcscPivApplication, way_to_card
from sra.cards.software.file import CardFolder
from sra.errors import CardError, PinNeededError
from sra.piv.keys import PinPolicy, Slot
from sra.piv.objects import CERTIFICATES, KEY_HISTORY, CardContents, build_certificate
from sra.remote.virtual_card.applet import Applet
from tests.cards.cards_in_readers import PATIENCE, opened
from tests.cards.conftest import PIN
from tests.cards.fuller_card import FullerCard
from tests.cards.pcsc.test_contents import CERTIFICATE, NoKeys, history
from tests.cards.private_pcscd import PrivatePcscd
from tests.cards.software.test_backend import check, request_for
from tests.piv_blocks import build_compressed_certificate

NEVER, ONCE, ALWAYS = b"\x01", b"\x02", b"\x03"
UNTOUCHED, TOUCHED, CACHED = b"\x01", b"\x02", b"\x03"
RETIRED = [slot for slot in Slot if slot.is_retired]


def told(pin: bytes, touch: bytes = UNTOUCHED) -> bytes:
    """A key of a YubiKey: its algorithm, its policies, made on the card."""
    return b"\x01\x01\x11" + b"\x02\x02" + pin + touch + b"\x03\x01\x01"


def piv_of(
    metadata: dict[Slot, bytes], objects: dict[int, bytes] | None = None
) -> tuple[PcscPivApplication, FullerCard]:
    nobody = NoKeys()
    applet = Applet(
        CardContents(objects or {}, ()), nobody, nobody,
        random_bytes=bytes, clock=lambda: 0.0, pin_idle=1.0, pin_pad=False,
    )  # fmt: skip
    card = FullerCard(applet, nobody, metadata)  # type: ignore[arg-type]
    piv = PcscPivApplication(way_to_card(lambda apdu: asyncio.run(card.transmit(apdu)), is_t0=False))
    piv.select()
    return piv, card


@pytest.mark.parametrize(
    ("slot", "pin", "policy"),
    [
        (Slot.AUTHENTICATION, ALWAYS, PinPolicy.ALWAYS),
        (Slot.AUTHENTICATION, b"\x05", PinPolicy.ALWAYS),
        (Slot.AUTHENTICATION, NEVER, PinPolicy.ONCE),
        (Slot.SIGNATURE, ONCE, PinPolicy.ALWAYS),
        (Slot.CARD_AUTHENTICATION, ONCE, PinPolicy.ONCE),
        (Slot.CARD_AUTHENTICATION, NEVER, PinPolicy.NEVER),
        (Slot.RETIRED_20, b"\x00", PinPolicy.ONCE),
    ],
)
def test_the_stricter_policy_counts(slot: Slot, pin: bytes, policy: PinPolicy) -> None:
    piv, _ = piv_of({slot: told(pin)})
    assert read_metadata(piv) == {slot: KeyMetadata(policy, wants_touch=False)}


@pytest.mark.parametrize("touch", [TOUCHED, CACHED])
def test_a_key_that_wants_a_touch_is_known(touch: bytes) -> None:
    piv, _ = piv_of({Slot.AUTHENTICATION: told(ONCE, touch)})
    assert read_card(piv).touched == {Slot.AUTHENTICATION}


@pytest.mark.parametrize("data", [b"\x02", b"\x02\x01\x03", b"\xff" * 9, b"\x01\x01\x11"])
def test_what_can_not_be_understood_changes_nothing(data: bytes) -> None:
    piv, _ = piv_of({Slot.AUTHENTICATION: data})
    assert read_metadata(piv) == {Slot.AUTHENTICATION: KeyMetadata(PinPolicy.ONCE, wants_touch=False)}


def test_a_card_that_does_not_know_the_question_is_asked_once() -> None:
    piv, card = piv_of({})
    assert read_metadata(piv) == {}
    assert [command.ins for command in card.asked].count(0xF7) == 1


@pytest.mark.parametrize("counted", [0, 16, 20])
def test_all_twenty_retired_keys_are_found_without_a_history(counted: int) -> None:
    objects = {CERTIFICATES[slot]: build_compressed_certificate(CERTIFICATE) for slot in RETIRED}
    if counted:
        objects[KEY_HISTORY] = history(counted)
    piv, _ = piv_of({slot: told(ONCE) for slot in RETIRED}, objects)
    assert [key.slot for key in read_card(piv).contents.keys] == RETIRED


@pytest.mark.parametrize("counted", [16, 17, 20])
def test_a_history_counts_up_to_twenty_retired_keys(counted: int) -> None:
    objects = {CERTIFICATES[slot]: build_certificate(CERTIFICATE) for slot in RETIRED}
    piv, _ = piv_of({}, objects | {KEY_HISTORY: history(counted)})
    assert [key.slot for key in read_card(piv).contents.keys] == RETIRED[:counted]


@asynccontextmanager
async def touchy_card(
    pcscd: PrivatePcscd, folder: CardFolder, touch_limit: float
) -> AsyncIterator[tuple[PcscCard, FullerCard]]:
    made: list[FullerCard] = []

    def wrap(applet: Applet, card: Card) -> FullerCard:
        metadata = {slot: told(ONCE, TOUCHED) for slot in (Slot.AUTHENTICATION, Slot.SIGNATURE)}
        made.append(FullerCard(applet, card, metadata, touched=asyncio.Event(), touch_limit=touch_limit))
        return made[0]

    async with opened(pcscd, folder, wrap=wrap) as card:
        yield card, made[0]


async def test_a_card_waits_for_its_touch_longer_than_for_another_program(
    pcscd: PrivatePcscd, folder: CardFolder
) -> None:
    async with touchy_card(pcscd, folder, touch_limit=30) as (card, behind):
        assert behind.touched
        await card.verify_pin(PIN)
        begun = time.monotonic()
        asyncio.get_running_loop().call_later(4 * PATIENCE, behind.touched.set)
        request = request_for(Slot.AUTHENTICATION)
        check(card, request, (await card.use_key(request)).output)
        assert time.monotonic() - begun > 3 * PATIENCE


async def test_a_missing_touch_is_told_apart_from_a_missing_pin(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with touchy_card(pcscd, folder, touch_limit=0.1) as (card, _):
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.AUTHENTICATION))
        await card.verify_pin(PIN)
        with pytest.raises(CardError, match="not touched in time"):
            await card.use_key(request_for(Slot.AUTHENTICATION))
