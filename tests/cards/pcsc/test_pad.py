"""What a reader says of its PIN pad, and what it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.cards.pcsc.reader import verify_control, verify_structure
from sra.remote.virtual_card.pin_commands import check_verify_structure


def test_the_control_code_is_that_of_the_feature() -> None:
    assert verify_control(bytes.fromhex("0A0442330002 060442330001")) == 0x42330001


@pytest.mark.parametrize("features", ["", "0A0442330002", "06044233"])
def test_a_reader_without_the_feature_has_no_pad(features: str) -> None:
    assert verify_control(bytes.fromhex(features)) is None


@given(st.binary(max_size=100))
def test_whatever_a_reader_says_is_a_code_or_nothing(features: bytes) -> None:
    code = verify_control(features)
    assert code is None or 0 <= code < 1 << 32


def test_the_structure_is_that_of_the_standard() -> None:
    assert verify_structure().hex().upper() == ("3C3C820800080602010904000000000D0000000020008008FFFFFFFFFFFFFFFF")


def test_our_own_reader_takes_it() -> None:
    check_verify_structure(verify_structure())
