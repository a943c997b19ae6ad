"""Errors and their status words."""

from __future__ import annotations

import pytest

from sra.errors import CardError, RefusalCode, RefusedError
from sra.piv.apdu import ApduError, StatusError
from sra.piv.tlv import TlvError
from sra.remote.virtual_card.status_words import status_of


def test_a_status_error_is_its_own_word() -> None:
    assert status_of(StatusError(0x6A82)) == 0x6A82


@pytest.mark.parametrize("code", list(RefusalCode))
def test_every_refusal_has_a_word(code: RefusalCode) -> None:
    assert status_of(RefusedError(code, "no")) in {0x6400, 0x6982, 0x6985, 0x6F00}


@pytest.mark.parametrize(
    ("error", "status"), [(ApduError(), 0x6700), (TlvError(), 0x6A80), (CardError(), 0x6F00), (ValueError(), 0x6F00)]
)
def test_other_errors_have_the_nearest_word(error: Exception, status: int) -> None:
    assert status_of(error) == status
