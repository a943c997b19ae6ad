"""When keys want the PIN, and what can be one."""

from __future__ import annotations

import pytest

from sra.cards.piv_defaults import check_new_pin, check_pin, check_puk, pin_policy
from sra.errors import PinUnfitError, UsageError
from sra.piv.keys import PinPolicy, Slot


def test_the_standard_says_which_key_wants_the_pin_when() -> None:
    policies = {slot: pin_policy(slot) for slot in Slot}
    assert policies.pop(Slot.SIGNATURE) is PinPolicy.ALWAYS
    assert policies.pop(Slot.CARD_AUTHENTICATION) is PinPolicy.NEVER
    assert set(policies.values()) == {PinPolicy.ONCE}


@pytest.mark.parametrize("pin", [b"123456", b"12345678", b"aB3-x!"])
def test_six_to_eight_characters_make_a_pin(pin: bytes) -> None:
    check_new_pin(pin)


@pytest.mark.parametrize("pin", [b"", b"12345", b"123456789", b"12 456", "pässwö".encode(), b"123\n56", b"12345\xff"])
def test_anything_else_makes_none(pin: bytes) -> None:
    with pytest.raises(UsageError, match="6 to 8"):
        check_new_pin(pin)


@pytest.mark.parametrize("pin", [b"", b"123456789"])
def test_no_card_is_asked_about_what_can_be_no_pin(pin: bytes) -> None:
    with pytest.raises(PinUnfitError, match="A PUK has 1 to 8"):
        check_puk(pin)


@pytest.mark.parametrize("pin", [b"", b"6", b"12345", b"123456789"])
def test_no_card_is_asked_about_a_part_of_a_pin(pin: bytes) -> None:
    with pytest.raises(PinUnfitError, match="A PIN has 6 to 8"):
        check_pin(pin)
