"""The guard: what a remote gets of the card, and what it doesn't."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.admin.cards.base import Card
from sra.admin.cards.softcard_certificates import Holder, parse_subject, validity
from sra.admin.cards.softcard_file import CardFolder
from sra.admin.cards.softcard_maker import Order, make
from sra.admin.cards.software import SoftwareBackend
from sra.admin.events import KeyUsed, PinAsked, Refused
from sra.admin.guard import MAX_RATE, TYPED_TRIES, Guard, KnownPin
from sra.errors import (
    CardError,
    PinBlockedError,
    PinNeededError,
    PinWrongError,
    RefusalCode,
    RefusedError,
)
from sra.identity import challenges
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinOutcome, PinRequest, Slot, purpose
from tests.admin.watching import Person, Watching
from tests.memory_card import PIN, MemoryCard, private_key, sign
from tests.piv_blocks import signing_input

KEYS = {
    Slot.AUTHENTICATION: Algorithm.RSA_2048,
    Slot.SIGNATURE: Algorithm.P256,
    Slot.KEY_MANAGEMENT: Algorithm.RSA_2048,
    Slot.CARD_AUTHENTICATION: Algorithm.P256,
    Slot.RETIRED_1: Algorithm.P384,
}
TYPED, PAD = PinRequest(PIN), PinRequest(None)
WRONG = PinRequest(b"654321")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A guard before a card, and everything that can be seen of the two."""

    def __init__(self, keys: dict[Slot, Algorithm] | None = None, *, agrees: bool = True) -> None:
        self.card = MemoryCard(KEYS if keys is None else keys)
        self.pin = KnownPin(PIN)
        self.watching = Watching()
        self.person = Person(agrees=agrees)
        self.clock = Clock()
        self.guard = self.new_guard()

    def new_guard(self) -> Guard:
        return Guard(
            self.card,
            self.card.contents.keys,
            self.pin,
            confirm=self.person.confirm,
            watcher=self.watching,
            clock=self.clock,
        )

    async def outcome(self, request: PinRequest) -> tuple[PinOutcome, int]:
        reply = await self.guard.answer(request)
        assert not isinstance(reply, KeyReply)
        return reply.outcome, reply.attempts_remaining

    async def refusal(self, request: KeyRequest) -> str:
        """Why the guard refuses; nothing may have reached the card."""
        uses = len(self.card.uses)
        with pytest.raises(RefusedError) as refused:
            await self.guard.answer(request)
        assert len(self.card.uses) == uses
        assert self.watching.events[-1] == Refused(
            f"{request.operation} with slot {request.slot:02X}", str(refused.value)
        )
        return f"{refused.value.code}: {refused.value.text}"


Body = Callable[[Scene], Awaitable[None]]


def play(body: Body, scene: Callable[[], Scene] = Scene) -> None:
    async def run() -> None:
        await body(scene())

    asyncio.run(run())


def request_for(slot: Slot, algorithm: Algorithm | None = None) -> KeyRequest:
    """An honest request for what the slot's key is for."""
    kind = KEYS[slot] if algorithm is None else algorithm
    operation = purpose(slot, kind)
    if operation is Operation.SIGN:
        return KeyRequest(slot, kind, operation, signing_input(kind, b"text"))
    if operation is Operation.DECRYPT:
        return KeyRequest(slot, kind, operation, b"\x00\x02" + bytes(kind.size - 2))
    point = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    return KeyRequest(slot, kind, operation, point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.KEY_MANAGEMENT, Slot.RETIRED_1], ids=lambda slot: slot.name)
def test_a_key_can_be_used_again_and_again_after_one_pin(slot: Slot) -> None:
    async def body(scene: Scene) -> None:
        assert "pin-needed" in await scene.refusal(request_for(slot))
        await scene.guard.answer(TYPED)
        for _ in range(3):
            await scene.guard.answer(request_for(slot))
        assert scene.card.uses[-3:] == [request_for(slot)] * 3
        assert len(scene.watching.of(KeyUsed)) == 3

    play(body)


def test_9c_wants_the_pin_for_each_signature_and_the_card_sees_it_each_time() -> None:
    async def body(scene: Scene) -> None:
        for used in range(2):
            assert "pin-needed" in await scene.refusal(request_for(Slot.SIGNATURE))
            await scene.guard.answer(PAD)
            await scene.guard.answer(request_for(Slot.SIGNATURE))
            assert scene.card.verifications == [PIN] * (used + 1)
        assert "pin-needed" in await scene.refusal(request_for(Slot.SIGNATURE))

    play(body)


def test_9e_needs_no_pin() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(request_for(Slot.CARD_AUTHENTICATION))
        assert scene.card.verifications == []

    play(body)


def test_a_pin_for_9c_may_be_spent_on_another_key_first() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(PAD)
        await scene.guard.answer(request_for(Slot.KEY_MANAGEMENT))
        await scene.guard.answer(request_for(Slot.SIGNATURE))
        assert "pin-needed" in await scene.refusal(request_for(Slot.SIGNATURE))
        await scene.guard.answer(request_for(Slot.KEY_MANAGEMENT))

    play(body)


def test_what_is_signed_is_told() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        scene.clock.now += 1
        await scene.guard.answer(request_for(Slot.AUTHENTICATION))
        (used,) = scene.watching.of(KeyUsed)
        assert (used.slot, used.operation, used.hash_name) == (Slot.AUTHENTICATION, Operation.SIGN, "sha256")
        assert used.digest == request_for(Slot.AUTHENTICATION).input[-32:]
        assert used.milliseconds == 0

    play(body)


@pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_1, Slot.RETIRED_20], ids=lambda slot: slot.name)
def test_a_key_that_was_not_inserted_is_refused_though_the_card_has_it(slot: Slot) -> None:
    async def body(scene: Scene) -> None:
        inserted = tuple(key for key in scene.card.contents.keys if key.slot is Slot.AUTHENTICATION)
        scene.guard = Guard(
            scene.card, inserted, scene.pin, confirm=scene.person.confirm, watcher=scene.watching, clock=scene.clock
        )
        await scene.guard.answer(TYPED)
        assert "not inserted" in await scene.refusal(request_for(slot, Algorithm.RSA_2048))

    play(body)


def changed(request: KeyRequest, **fields: object) -> KeyRequest:
    values = {name: getattr(request, name) for name in request.__struct_fields__}
    return KeyRequest(**(values | fields))


def test_another_algorithm_than_the_keys_is_refused() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        honest = request_for(Slot.AUTHENTICATION)
        for algorithm in set(Algorithm) - {honest.algorithm}:
            assert "another algorithm" in await scene.refusal(changed(honest, algorithm=algorithm))

    play(body)


@pytest.mark.parametrize("slot", KEYS, ids=lambda slot: slot.name)
def test_a_key_is_for_one_thing_only(slot: Slot) -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        honest = request_for(slot)
        for operation in set(Operation) - {honest.operation}:
            assert "is not for that" in await scene.refusal(changed(honest, operation=operation))

    play(body)


@pytest.mark.parametrize(
    "algorithm",
    [Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096, Algorithm.P256, Algorithm.P384],
    ids=lambda algorithm: algorithm.name,
)
def test_a_proof_of_who_somebody_is_is_never_made_for_a_remote(algorithm: Algorithm) -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        assert "proof of who you are" in await scene.refusal(challenges.key_request(algorithm, bytes(range(32))))

    play(body, lambda: Scene({Slot.AUTHENTICATION: algorithm}))


def test_a_blinded_challenge_is_not_signed() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        challenge = challenges.key_request(Algorithm.RSA_2048, bytes(range(32)))
        modulus = modulus_of(scene)
        blinded = int.from_bytes(challenge.input, "big") * pow(3, 65537, modulus) % modulus
        assert "no hash in a known form" in await scene.refusal(changed(challenge, input=blinded.to_bytes(256, "big")))

    play(body)


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
def test_an_input_of_another_form_or_length_is_refused(slot: Slot, data: bytes) -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        assert "not-allowed" in await scene.refusal(changed(request_for(slot), input=data))

    play(body)


def test_a_refused_request_spends_no_pin() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(PAD)
        await scene.refusal(changed(request_for(Slot.SIGNATURE), input=b"x"))
        await scene.guard.answer(request_for(Slot.SIGNATURE))

    play(body)


# The PIN.


def test_the_right_pin_may_be_typed_padded_or_not() -> None:
    async def body(scene: Scene) -> None:
        assert await scene.outcome(TYPED) == (PinOutcome.VERIFIED, TYPED_TRIES)
        assert await scene.outcome(PinRequest(PIN + b"\xff\xff")) == (PinOutcome.VERIFIED, TYPED_TRIES)
        assert scene.watching.of(PinAsked) == [PinAsked(True, PinOutcome.VERIFIED)] * 2
        assert scene.person.asked == []

    play(body)


def test_after_three_wrong_pins_even_the_right_one_is_blocked() -> None:
    async def body(scene: Scene) -> None:
        assert await scene.outcome(WRONG) == (PinOutcome.WRONG, 2)
        assert await scene.outcome(WRONG) == (PinOutcome.WRONG, 1)
        assert await scene.outcome(WRONG) == (PinOutcome.BLOCKED, 0)
        assert await scene.outcome(TYPED) == (PinOutcome.BLOCKED, 0)
        assert "pin-needed" in await scene.refusal(request_for(Slot.AUTHENTICATION))

    play(body)


def test_a_remote_that_has_the_card_inserted_anew_gets_no_new_tries() -> None:
    async def body(scene: Scene) -> None:
        await scene.outcome(WRONG)
        scene.guard = scene.new_guard()
        assert await scene.outcome(WRONG) == (PinOutcome.WRONG, 1)
        scene.guard = scene.new_guard()
        assert await scene.outcome(WRONG) == (PinOutcome.BLOCKED, 0)
        scene.guard = scene.new_guard()
        assert await scene.outcome(TYPED) == (PinOutcome.BLOCKED, 0)

    play(body)


def test_a_card_inserted_anew_wants_its_pin_anew() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        scene.guard = scene.new_guard()
        assert "pin-needed" in await scene.refusal(request_for(Slot.AUTHENTICATION))

    play(body)


def test_the_right_pin_gives_the_tries_back() -> None:
    async def body(scene: Scene) -> None:
        await scene.outcome(WRONG)
        await scene.outcome(WRONG)
        assert await scene.outcome(TYPED) == (PinOutcome.VERIFIED, TYPED_TRIES)

    play(body)


def test_a_wrong_pin_ends_what_the_right_one_had_allowed() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        await scene.guard.answer(WRONG)
        assert "pin-needed" in await scene.refusal(request_for(Slot.AUTHENTICATION))

    play(body)


@pytest.mark.parametrize("typed", [b"1", b"12345", b"1234567", b"\xff" * 8, b"\x00" * 8, b"123456\x00\x00"])
def test_what_is_almost_the_pin_is_wrong(typed: bytes) -> None:
    async def body(scene: Scene) -> None:
        assert await scene.outcome(PinRequest(typed)) == (PinOutcome.WRONG, 2)

    play(body)


def test_a_pin_that_was_forgotten_matches_nothing() -> None:
    pin = KnownPin(PIN)
    pin.forget()
    assert pin.check(PIN) is PinOutcome.WRONG
    assert pin.check(b"\xff" * 8) is PinOutcome.WRONG
    with pytest.raises(PinNeededError):
        pin.reveal()


def test_the_person_agrees_at_the_pad() -> None:
    async def body(scene: Scene) -> None:
        assert await scene.outcome(PAD) == (PinOutcome.VERIFIED, TYPED_TRIES)
        await scene.guard.answer(request_for(Slot.AUTHENTICATION))
        assert len(scene.person.asked) == 1

    play(body)


def test_the_person_declines_at_the_pad() -> None:
    async def body(scene: Scene) -> None:
        assert await scene.outcome(PAD) == (PinOutcome.CANCELLED, TYPED_TRIES)
        assert scene.watching.of(PinAsked) == [PinAsked(False, PinOutcome.CANCELLED)]
        assert "pin-needed" in await scene.refusal(request_for(Slot.AUTHENTICATION))

    play(body, lambda: Scene(agrees=False))


@pytest.fixture(scope="module")
def softcards(tmp_path_factory: pytest.TempPathFactory) -> CardFolder:
    folder = CardFolder(tmp_path_factory.mktemp("cards"))
    order = Order(KEYS, Holder(parse_subject("Ann")), None, validity(datetime.now(UTC), days=30))
    folder.create("ann", make(order, PIN, b"PUKPUKPU"))
    return folder


def with_softcard(folder: Path, body: Callable[[Card, Guard], Awaitable[None]]) -> None:
    async def run() -> None:
        card = await SoftwareBackend(folder).open("software:ann")
        watching = Watching()
        guard = Guard(card, card.contents.keys, KnownPin(PIN), confirm=Person().confirm, watcher=watching)
        await body(card, guard)
        await card.close()

    asyncio.run(run())


def test_pins_typed_on_the_remote_never_cost_the_card_a_try(softcards: CardFolder) -> None:
    async def body(card: Card, guard: Guard) -> None:
        before = await card.attempts_remaining()
        for _ in range(TYPED_TRIES + 1):
            await guard.answer(WRONG)
        assert await card.attempts_remaining() == before == 3

    with_softcard(softcards.path, body)


def test_a_card_that_was_reset_gets_its_pin_once_more(softcards: CardFolder) -> None:
    async def body(card: Card, guard: Guard) -> None:
        await guard.answer(TYPED)
        first = await guard.answer(request_for(Slot.AUTHENTICATION))
        await card.close()
        assert await guard.answer(request_for(Slot.AUTHENTICATION)) == first
        assert await card.attempts_remaining() == 3

    with_softcard(softcards.path, body)


def test_a_card_that_wants_its_pin_again_and_again_is_asked_twice_and_no_more() -> None:
    class Forgetful(MemoryCard):
        async def verify_pin(self, pin: bytes) -> None:
            await super().verify_pin(pin)
            self.forget_pin()

    async def run() -> None:
        card = Forgetful(KEYS)
        guard = Guard(card, card.contents.keys, KnownPin(PIN), confirm=Person().confirm, watcher=Watching())
        await guard.answer(TYPED)
        with pytest.raises(PinNeededError):
            await guard.answer(request_for(Slot.AUTHENTICATION))
        assert (len(card.uses), len(card.verifications)) == (2, 1)

    asyncio.run(run())


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.SIGNATURE], ids=lambda slot: slot.name)
def test_a_pin_that_was_changed_meanwhile_is_tried_once_and_never_again(slot: Slot) -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        scene.card.pin = b"999999"
        with pytest.raises(PinWrongError):
            await scene.guard.answer(request_for(slot))
        await scene.guard.answer(PAD)
        with pytest.raises(PinNeededError):
            await scene.guard.answer(request_for(slot))
        scene.guard = scene.new_guard()
        await scene.guard.answer(PAD)
        with pytest.raises(PinNeededError):
            await scene.guard.answer(request_for(slot))
        assert scene.card.verifications == [PIN]
        assert scene.card.tries == 2
        assert await scene.outcome(TYPED) == (PinOutcome.WRONG, 2)

    play(body)


def test_a_card_that_is_blocked_is_left_alone() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        scene.card.tries = 0
        with pytest.raises(PinBlockedError):
            await scene.guard.answer(request_for(Slot.AUTHENTICATION))
        with pytest.raises(CardError):
            await scene.guard.answer(request_for(Slot.AUTHENTICATION))
        assert scene.card.verifications == [PIN]

    play(body)


# Rates, and more than one at a time.


def test_a_remote_that_asks_too_often_is_refused_and_told_about_once() -> None:
    async def body(scene: Scene) -> None:
        request = request_for(Slot.CARD_AUTHENTICATION)
        for _ in range(MAX_RATE):
            await scene.guard.answer(request)
        for _ in range(20):
            with pytest.raises(RefusedError, match="too often"):
                await scene.guard.answer(request)
        assert len(scene.watching.of(Refused)) == 1
        assert len(scene.card.uses) == MAX_RATE
        scene.clock.now += 1.0
        await scene.guard.answer(request)

    play(body)


def test_pins_count_for_the_rate_as_well() -> None:
    async def body(scene: Scene) -> None:
        for _ in range(MAX_RATE):
            await scene.guard.answer(WRONG)
        with pytest.raises(RefusedError) as refused:
            await scene.guard.answer(TYPED)
        assert refused.value.code is RefusalCode.NOT_ALLOWED

    play(body)


def test_the_card_does_one_thing_at_a_time_so_that_9c_gets_its_own_pin() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        requests = [request_for(Slot.SIGNATURE), *(request_for(Slot.AUTHENTICATION, Algorithm.P256) for _ in range(5))]
        await asyncio.gather(*(scene.guard.answer(request) for request in requests))
        assert scene.card.verifications == [PIN]
        assert len(scene.card.uses) == len(requests)

    play(body, lambda: Scene({Slot.AUTHENTICATION: Algorithm.P256, Slot.SIGNATURE: Algorithm.P256}))


def test_the_answer_is_the_cards() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        request = request_for(Slot.AUTHENTICATION)
        assert await scene.guard.answer(request) == KeyReply(sign(request))

    play(body)
