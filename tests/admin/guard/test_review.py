"""Which key requests may be done at all, whoever says yes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.admin.guard.review import RAW, review
from sra.admin.guard.signing_blocks import Signed
from sra.errors import RefusalCode, RefusedError
from sra.identity import challenges
from sra.piv.keys import Algorithm, KeyDescription, KeyRequest, Operation, PinPolicy, Slot
from tests.admin.guard_scene import KEYS, changed, request_for

INSERTED = {slot: KeyDescription(slot, kind, PinPolicy.ONCE) for slot, kind in KEYS.items()}
RSA = KeyRequest(Slot.AUTHENTICATION, Algorithm.RSA_2048, Operation.SIGN, b"")
SIGNING = [Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096, Algorithm.P256, Algorithm.P384]


def refusal(request: KeyRequest, *, allow_raw_rsa: bool = False, key: KeyDescription | None = None) -> str:
    inserted = {key.slot: key} if key else INSERTED
    with pytest.raises(RefusedError) as refused:
        review(request, inserted, allow_raw_rsa=allow_raw_rsa)
    assert refused.value.code is RefusalCode.NOT_ALLOWED
    return refused.value.text


@pytest.mark.parametrize("slot", KEYS, ids=lambda slot: slot.name)
def test_honest_requests_pass_and_what_is_signed_is_told(slot: Slot) -> None:
    signed = review(request_for(slot), INSERTED)
    signs = request_for(slot).operation is Operation.SIGN
    assert (signed.hash_name, len(signed.digest)) == (("sha256", 32) if signs else ("", 0))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("algorithm", SIGNING, ids=lambda algorithm: algorithm.name)
def test_the_challenge_is_refused_whatever_the_person_allows(algorithm: Algorithm, raw: bool) -> None:
    key = KeyDescription(Slot.AUTHENTICATION, algorithm, PinPolicy.ONCE)
    request = challenges.key_request(algorithm, bytes(range(32)))
    assert "proof of who you are" in refusal(request, allow_raw_rsa=raw, key=key)


@given(st.binary(min_size=256, max_size=256))
def test_a_block_that_is_no_known_signature_passes_only_where_the_person_allows_it(block: bytes) -> None:
    request = changed(RSA, input=block)
    assert "no hash in a known form" in refusal(request)
    assert review(request, INSERTED, allow_raw_rsa=True) == RAW == Signed("unknown", b"")


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("length", [0, 1, 255, 257, 512])
def test_a_block_of_another_length_never_passes(length: int, raw: bool) -> None:
    assert "wrong length" in refusal(changed(RSA, input=bytes(length)), allow_raw_rsa=raw)


@pytest.mark.parametrize("length", [0, 1, 19, 21, 31, 33, 48, 64])
def test_raw_rsa_lets_no_strange_digest_through_an_elliptic_key(length: int) -> None:
    request = changed(request_for(Slot.SIGNATURE), input=bytes(length))
    assert "no hash in a known form" in refusal(request, allow_raw_rsa=True)


@pytest.mark.parametrize("operation", [Operation.DECRYPT, Operation.DERIVE])
@pytest.mark.parametrize("raw", [False, True])
def test_the_authentication_key_only_signs(operation: Operation, raw: bool) -> None:
    request = changed(request_for(Slot.AUTHENTICATION), operation=operation)
    assert "is not for that" in refusal(request, allow_raw_rsa=raw)


def test_a_key_that_is_not_inserted_is_none() -> None:
    assert "was not inserted" in refusal(changed(request_for(Slot.RETIRED_1), slot=Slot.RETIRED_2))


ORDERS = {
    Algorithm.P256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    Algorithm.P384: 2**384 - 1388124618062372383947042015309946732620727252194336364173,
}


@pytest.mark.parametrize("algorithm", ORDERS, ids=lambda algorithm: algorithm.name)
@given(statement=st.binary(min_size=32, max_size=32))
def test_no_other_digest_that_a_curve_takes_for_the_challenge_passes(algorithm: Algorithm, statement: bytes) -> None:
    """A curve signs numbers modulo its order, and cards cut or fill digests: none of that makes the challenge's."""
    challenge, size = challenges.key_request(algorithm, statement).input, algorithm.size
    number, order = int.from_bytes(challenge, "big"), ORDERS[algorithm]
    assert number < order
    assert number + order >= 1 << 8 * size, "the same number modulo the order is too long for a digest"
    filled = [b"\x00" * more + challenge for more in (1, 16, 64 - size)] + [challenge + bytes(64 - size)]
    cut = [challenge[:length] for length in (20, 28, 32)]
    key = KeyDescription(Slot.AUTHENTICATION, algorithm, PinPolicy.ONCE)
    for digest in (challenge, *filled, *cut):
        refusal(KeyRequest(key.slot, algorithm, Operation.SIGN, digest), key=key)


@pytest.mark.parametrize("algorithm", ORDERS, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("length", [20, 28, 32, 48, 64])
def test_shorter_digests_pass_and_longer_ones_that_a_card_would_cut_do_not(algorithm: Algorithm, length: int) -> None:
    key = KeyDescription(Slot.AUTHENTICATION, algorithm, PinPolicy.ONCE)
    request = KeyRequest(key.slot, algorithm, Operation.SIGN, bytes(range(length)))
    if length <= algorithm.size:
        assert review(request, {key.slot: key}).digest == request.input
    else:
        assert "no hash in a known form" in refusal(request, key=key)
