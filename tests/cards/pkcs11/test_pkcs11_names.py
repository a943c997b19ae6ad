"""The names of cards behind PKCS#11 modules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.cards.pkcs11.module_slots import PREFIX, Pkcs11Name, parse_name
from sra.errors import UsageError
from sra.piv.keys import Slot


@pytest.mark.parametrize("card", ["ann", "Ann Lee's card", "ann#0123", "#0123", "a/b", "a/9A", "a/9A=", "a/9A=1", "ü"])
def test_a_label_may_be_anything(card: str) -> None:
    assert parse_name(f"pkcs11:{card}") == Pkcs11Name(card)


def test_slots_are_chosen_after_a_slash() -> None:
    name = parse_name("pkcs11:a/b#12/9a=01,9D=A0b1,82=ff")
    chosen = {Slot.AUTHENTICATION: b"\1", Slot.KEY_MANAGEMENT: b"\xa0\xb1", Slot.RETIRED_1: b"\xff"}
    assert name == Pkcs11Name("a/b#12", chosen)
    assert str(name) == "pkcs11:a/b#12/9A=01,9D=a0b1,82=ff"


@pytest.mark.parametrize(
    ("text", "said"), [("pkcs11:ann/9B=01", "is no slot"), ("pkcs11:ann/9A=01,9A=02", "twice"), ("pcsc:ann", "pkcs11:")]
)
def test_what_can_not_be_is_told(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_name(text)


@given(st.text(max_size=40), st.dictionaries(st.sampled_from(Slot), st.binary(min_size=1, max_size=4), max_size=3))
def test_a_name_is_read_as_it_is_written(card: str, chosen: dict[Slot, bytes]) -> None:
    if parse_name(PREFIX + card).chosen or "\n" in card:
        return
    assert parse_name(str(Pkcs11Name(card, chosen))) == Pkcs11Name(card, chosen)
