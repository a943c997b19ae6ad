"""Keys: sizes, purposes, and that a PIN does not show."""

from __future__ import annotations

import pytest

from sra.piv.keys import Algorithm, Operation, PinRequest, Slot, purpose

RSA = [Algorithm.RSA_1024, Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096]
EC = [Algorithm.P256, Algorithm.P384]


def test_every_algorithm_has_its_size() -> None:
    assert [algorithm.size * 8 for algorithm in RSA + EC] == [1024, 2048, 3072, 4096, 256, 384]
    assert [algorithm.is_rsa for algorithm in RSA + EC] == [True] * 4 + [False] * 2


def test_twenty_slots_are_retired() -> None:
    assert [int(slot) for slot in Slot if slot.is_retired] == list(range(0x82, 0x96))


@pytest.mark.parametrize("algorithm", RSA + EC)
@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.CARD_AUTHENTICATION])
def test_signing_keys_only_sign(slot: Slot, algorithm: Algorithm) -> None:
    assert purpose(slot, algorithm) is Operation.SIGN


@pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_1, Slot.RETIRED_20])
def test_key_management_keys_decrypt_or_derive(slot: Slot) -> None:
    assert {purpose(slot, algorithm) for algorithm in RSA} == {Operation.DECRYPT}
    assert {purpose(slot, algorithm) for algorithm in EC} == {Operation.DERIVE}


def test_a_pin_request_never_shows_the_pin() -> None:
    assert repr(PinRequest(typed=b"123456")) == "PinRequest(typed)"
    assert repr(PinRequest(typed=None)) == "PinRequest(pad)"
