"""The guard: what a remote gets of the card's keys, and what it doesn't."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sra.admin.events import Flooded, KeyUsed, Refused
from sra.admin.guard.guard import Guard
from sra.admin.guard.rate import MAX_RATE, RATE_PERIOD
from sra.errors import (
    RefusalCode,
    RefusedError,
)
from sra.identity import challenges
from sra.piv.keys import Algorithm, KeyReply, Operation, Slot
from tests.admin.guard_scene import KEYS, PAD, TYPED, WRONG, Scene, changed, request_for
from tests.memory_card import PIN, private_key, sign
from tests.piv_blocks import signing_input


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.KEY_MANAGEMENT, Slot.RETIRED_1], ids=lambda slot: slot.name)
async def test_a_key_can_be_used_again_and_again_after_one_pin(slot: Slot) -> None:
    scene = Scene()
    assert "pin-needed" in await scene.refusal(request_for(slot))
    await scene.guard.answer(TYPED)
    for _ in range(3):
        await scene.guard.answer(request_for(slot))
    assert scene.card.uses[-3:] == [request_for(slot)] * 3
    assert len(scene.watching.of(KeyUsed)) == 3


async def test_9c_wants_the_pin_for_each_signature_and_the_card_sees_it_each_time() -> None:
    scene = Scene()
    for used in range(2):
        assert "pin-needed" in await scene.refusal(request_for(Slot.SIGNATURE))
        await scene.guard.answer(PAD)
        await scene.guard.answer(request_for(Slot.SIGNATURE))
        assert scene.card.verifications == [PIN] * (used + 1)
    assert "pin-needed" in await scene.refusal(request_for(Slot.SIGNATURE))


async def test_9e_needs_no_pin() -> None:
    scene = Scene()
    await scene.guard.answer(request_for(Slot.CARD_AUTHENTICATION))
    assert scene.card.verifications == []


async def test_a_pin_for_9c_may_be_spent_on_another_key_first() -> None:
    scene = Scene()
    await scene.guard.answer(PAD)
    await scene.guard.answer(request_for(Slot.KEY_MANAGEMENT))
    await scene.guard.answer(request_for(Slot.SIGNATURE))
    assert "pin-needed" in await scene.refusal(request_for(Slot.SIGNATURE))
    await scene.guard.answer(request_for(Slot.KEY_MANAGEMENT))


async def test_what_is_signed_is_told() -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    scene.clock.now += 1
    await scene.guard.answer(request_for(Slot.AUTHENTICATION))
    (used,) = scene.watching.of(KeyUsed)
    assert (used.slot, used.operation, used.hash_name) == (Slot.AUTHENTICATION, Operation.SIGN, "sha256")
    assert used.digest == request_for(Slot.AUTHENTICATION).input[-32:]
    assert used.milliseconds == 0


@pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_1, Slot.RETIRED_20], ids=lambda slot: slot.name)
async def test_a_key_that_was_not_inserted_is_refused_though_the_card_has_it(slot: Slot) -> None:
    scene = Scene()
    inserted = tuple(key for key in scene.card.contents.keys if key.slot is Slot.AUTHENTICATION)
    scene.guard = Guard(scene.lending, inserted)
    await scene.guard.answer(TYPED)
    assert "not inserted" in await scene.refusal(request_for(slot, Algorithm.RSA_2048))


async def test_another_algorithm_than_the_keys_is_refused() -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    honest = request_for(Slot.AUTHENTICATION)
    for algorithm in set(Algorithm) - {honest.algorithm}:
        assert "another algorithm" in await scene.refusal(changed(honest, algorithm=algorithm))


@pytest.mark.parametrize("slot", KEYS, ids=lambda slot: slot.name)
async def test_a_key_is_for_one_thing_only(slot: Slot) -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    honest = request_for(slot)
    for operation in set(Operation) - {honest.operation}:
        assert "is not for that" in await scene.refusal(changed(honest, operation=operation))


@pytest.mark.parametrize(
    "algorithm",
    [Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096, Algorithm.P256, Algorithm.P384],
    ids=lambda algorithm: algorithm.name,
)
async def test_a_proof_of_who_somebody_is_is_never_made_for_a_remote(algorithm: Algorithm) -> None:
    scene = Scene({Slot.AUTHENTICATION: algorithm})
    await scene.guard.answer(TYPED)
    assert "proof of who you are" in await scene.refusal(challenges.key_request(algorithm, bytes(range(32))))


async def test_a_blinded_challenge_is_not_signed() -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    challenge = challenges.key_request(Algorithm.RSA_2048, bytes(range(32)))
    modulus = modulus_of(scene)
    blinded = int.from_bytes(challenge.input, "big") * pow(3, 65537, modulus) % modulus
    assert "no hash in a known form" in await scene.refusal(changed(challenge, input=blinded.to_bytes(256, "big")))


def modulus_of(scene: Scene) -> int:
    numbers = private_key(Algorithm.RSA_2048, scene.card.owner).public_key().public_numbers()
    assert not isinstance(numbers, ec.EllipticCurvePublicNumbers)
    return numbers.n


@pytest.mark.parametrize(
    ("slot", "data"),
    [
        (Slot.AUTHENTICATION, b""),
        (Slot.AUTHENTICATION, b"\xbc"),
        (Slot.AUTHENTICATION, bytes(32)),
        (Slot.AUTHENTICATION, bytes(256)),
        (Slot.AUTHENTICATION, signing_input(Algorithm.RSA_3072, b"text")),
        (Slot.AUTHENTICATION, signing_input(Algorithm.RSA_2048, b"text")[1:]),
        (Slot.SIGNATURE, b""),
        (Slot.SIGNATURE, bytes(31)),
        (Slot.SIGNATURE, bytes(48)),
        (Slot.SIGNATURE, bytes(512)),
        (Slot.KEY_MANAGEMENT, bytes(255)),
        (Slot.KEY_MANAGEMENT, bytes(257)),
        (Slot.RETIRED_1, b""),
        (Slot.RETIRED_1, bytes(96)),
        (Slot.RETIRED_1, bytes(98)),
    ],
    ids=lambda value: value.name if isinstance(value, Slot) else str(len(value)),
)
async def test_an_input_of_another_form_or_length_is_refused(slot: Slot, data: bytes) -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    assert "not-allowed" in await scene.refusal(changed(request_for(slot), input=data))


async def test_a_refused_request_spends_no_pin() -> None:
    scene = Scene()
    await scene.guard.answer(PAD)
    await scene.refusal(changed(request_for(Slot.SIGNATURE), input=b"x"))
    await scene.guard.answer(request_for(Slot.SIGNATURE))


# Rates, and more than one at a time.


async def test_a_remote_that_asks_too_often_is_refused_and_told_about_once() -> None:
    scene = Scene()
    request = request_for(Slot.CARD_AUTHENTICATION)
    for _ in range(MAX_RATE):
        await scene.guard.answer(request)
    for _ in range(20):
        with pytest.raises(RefusedError, match="too often"):
            await scene.guard.answer(request)
    assert len(scene.watching.of(Refused)) == 1
    assert scene.watching.of(Flooded) == []
    assert len(scene.card.uses) == MAX_RATE
    scene.clock.now += 1.0
    await scene.guard.answer(request)
    await asyncio.sleep(RATE_PERIOD)
    assert scene.watching.events[-1] == Flooded(20)
    scene.guard.end()
    assert len(scene.watching.of(Flooded)) == 1


async def test_a_card_inserted_anew_gives_no_new_start() -> None:
    scene = Scene()
    request = request_for(Slot.CARD_AUTHENTICATION)
    for _ in range(MAX_RATE):
        await scene.guard.answer(request)
    with pytest.raises(RefusedError, match="too often"):
        await scene.guard.answer(request)
    scene.guard.end()
    assert scene.watching.events[-1] == Flooded(1)
    scene.guard = scene.new_guard()
    with pytest.raises(RefusedError, match="too often"):
        await scene.guard.answer(request)
    scene.guard.end()


async def test_pins_count_for_the_rate_as_well() -> None:
    scene = Scene()
    for _ in range(MAX_RATE):
        await scene.guard.answer(WRONG)
    with pytest.raises(RefusedError) as refused:
        await scene.guard.answer(TYPED)
    assert refused.value.code is RefusalCode.NOT_ALLOWED


async def test_the_card_does_one_thing_at_a_time_so_that_9c_gets_its_own_pin() -> None:
    scene = Scene({Slot.AUTHENTICATION: Algorithm.P256, Slot.SIGNATURE: Algorithm.P256})
    await scene.guard.answer(TYPED)
    requests = [request_for(Slot.SIGNATURE), *(request_for(Slot.AUTHENTICATION, Algorithm.P256) for _ in range(5))]
    await asyncio.gather(*(scene.guard.answer(request) for request in requests))
    assert scene.card.verifications == [PIN]
    assert len(scene.card.uses) == len(requests)


async def test_the_answer_is_the_cards() -> None:
    scene = Scene()
    await scene.guard.answer(TYPED)
    request = request_for(Slot.AUTHENTICATION)
    assert await scene.guard.answer(request) == KeyReply(sign(request))
