"""Making a software card."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization

from sra.cards.software.file import CardFolder
from sra.cards.software.maker import make, new_puk
from sra.cards.software.vault import is_sealed, open_key, open_with_pin
from sra.errors import CardError, UsageError
from sra.piv.keys import Algorithm, Slot
from tests.cards.conftest import PIN, PUK, order_for

ONE_KEY = order_for({Slot.AUTHENTICATION: Algorithm.P256})


def test_no_two_cards_are_the_same() -> None:
    assert make(ONE_KEY, PIN, PUK).guid != make(ONE_KEY, PIN, PUK).guid


def test_a_pin_that_can_be_none_makes_no_card() -> None:
    with pytest.raises(UsageError, match="6 to 8"):
        make(ONE_KEY, b"1234", PUK)


def test_puks_are_random_and_easy_to_read() -> None:
    puks = {new_puk() for _ in range(100)}
    assert len(puks) == 100
    assert all(len(puk) == 8 and not set(puk) & set(b"0O1I") for puk in puks)


def test_only_the_key_that_wants_no_pin_is_in_clear(folder: CardFolder) -> None:
    for key in folder.read("ann").keys:
        if is_sealed(key.slot):
            with pytest.raises(ValueError, match=r"parse|deserialize"):
                serialization.load_der_private_key(key.private, password=None)
        else:
            assert key.slot is Slot.CARD_AUTHENTICATION
            serialization.load_der_private_key(key.private, password=None)


def test_a_key_in_another_slot_does_not_open(folder: CardFolder) -> None:
    card = folder.read("ann")
    secret = open_with_pin(folder, "ann", card.guid, PIN)
    key = next(key for key in card.keys if key.slot is Slot.KEY_MANAGEMENT)
    open_key(key, card.guid, secret)
    with pytest.raises(CardError, match="damaged"):
        open_key(msgspec.structs.replace(key, slot=Slot.RETIRED_2), card.guid, secret)


def test_the_slots_are_those_of_the_order() -> None:
    order = replace(ONE_KEY, algorithms={Slot.RETIRED_7: Algorithm.P256, Slot.SIGNATURE: Algorithm.P384})
    made = {key.slot: key.algorithm for key in make(order, PIN, PUK).keys}
    assert made == order.algorithms
