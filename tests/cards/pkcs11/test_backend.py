"""Cards behind a PKCS#11 module: a real one, SoftHSM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sra.cards.pkcs11.backend import Pkcs11Backend, Pkcs11Card
from sra.errors import (
    CardBusyError,
    CardError,
    KeyMissingError,
    NoCardError,
    PinNeededError,
    PinWrongError,
    PukWrongError,
    UsageError,
)
from sra.piv import objects
from sra.piv.keys import Algorithm, KeyRequest, Operation, PinPolicy, Slot
from tests.cards.conftest import EVERY_ALGORITHM
from tests.cards.pkcs11.test_module_slots import certificate
from tests.cards.soft_hsm import PIN, SO_PIN, SoftHsm
from tests.cards.software.test_backend import check, request_for

WRONG, NEW = b"000000", b"a longer PIN than PIV has"
Body = Callable[[Pkcs11Card], Awaitable[None]]

IDS = {slot: f"a{number}" for number, slot in enumerate(EVERY_ALGORITHM)}
EVERY_SLOT = "pkcs11:ann/" + ",".join(f"{slot:02X}={key_id}" for slot, key_id in IDS.items())


@pytest.fixture(autouse=True)
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    made = make_hsm(tmp_path, monkeypatch)
    made.add_card()
    return made


def make_hsm(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: str = "") -> SoftHsm:
    made = SoftHsm(folder, settings)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def with_every_key(hsm: SoftHsm) -> None:
    for slot, key_id in IDS.items():
        hsm.add_key(slot, EVERY_ALGORITHM[slot], key_id)


@asynccontextmanager
async def opened(hsm: SoftHsm, name: str = "pkcs11:ann") -> AsyncIterator[Pkcs11Card]:
    card = await Pkcs11Backend([hsm.module]).open(name)
    try:
        yield card
    finally:
        await card.close()


async def test_every_algorithm_does_its_work_after_the_pin(hsm: SoftHsm) -> None:
    with_every_key(hsm)
    async with opened(hsm, EVERY_SLOT) as card:
        assert {key.slot: key.algorithm for key in card.contents.keys} == EVERY_ALGORITHM
        for slot in EVERY_ALGORITHM:
            with pytest.raises(PinNeededError):
                await card.use_key(request_for(slot))
        await card.verify_pin(PIN)
        for slot in [*EVERY_ALGORITHM, *EVERY_ALGORITHM]:
            request = request_for(slot)
            check(card, request, (await card.use_key(request)).output)


async def test_a_short_digest_is_signed_as_it_is(hsm: SoftHsm) -> None:
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P384, "01")
    async with opened(hsm) as card:
        await card.verify_pin(PIN)
        for length in (20, 32, 48):
            request = KeyRequest(Slot.AUTHENTICATION, Algorithm.P384, Operation.SIGN, b"d" * length)
            reply = await card.use_key(request)
            check_ecdsa(card, request, reply.output)


def check_ecdsa(card: Pkcs11Card, request: KeyRequest, signature: bytes) -> None:
    """A digest is the number that it is, so zeros before it change nothing."""
    whole = KeyRequest(request.slot, request.algorithm, request.operation, request.input.rjust(48, b"\0"))
    check(card, whole, signature)


async def test_the_card_looks_like_a_piv_card_and_always_the_same(hsm: SoftHsm) -> None:
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P256, "01")
    hsm.add_key(Slot.RETIRED_3, Algorithm.P256, "07")
    seen = []
    for _ in range(2):
        async with opened(hsm) as card:
            contents = card.contents
            assert [key.slot for key in contents.keys] == [Slot.AUTHENTICATION, Slot.RETIRED_3]
            assert objects.parse_key_history(contents.objects[objects.KEY_HISTORY]).on_card == 3
            assert {objects.DISCOVERY, objects.CARD_CAPABILITY_CONTAINER} < contents.objects.keys()
            seen.append(objects.guid_of(contents.objects[objects.CHUID]))
    async with opened(hsm, "pkcs11:ann/9A=07") as card:
        assert [key.slot for key in card.contents.keys] == [Slot.AUTHENTICATION]
        seen.append(objects.guid_of(card.contents.objects[objects.CHUID]))
    assert len(set(seen)) == 1
    assert seen[0]


async def test_cards_are_listed_by_their_labels_or_told_apart_by_their_numbers(hsm: SoftHsm) -> None:
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P256, "01")
    for label in ("bob", "twin", "twin"):
        hsm.add_card(label)
    backend = Pkcs11Backend([hsm.module])
    found = {listing.name: listing for listing in await backend.find()}
    assert found["pkcs11:ann"].description == "SoftHSM project SoftHSM v2: 9A P256"
    assert found["pkcs11:ann"].problem == ""
    assert "no certificate" in found["pkcs11:bob"].problem
    twins = [name for name in found if name.startswith("pkcs11:twin#")]
    assert len(set(twins)) == 2
    with pytest.raises(UsageError, match="Several cards"):
        await backend.open("pkcs11:twin")
    for name in twins:
        assert (await backend.open(name)).name == name


async def test_a_card_that_is_not_there_is_named(hsm: SoftHsm) -> None:
    backend = Pkcs11Backend([hsm.module])
    with pytest.raises(NoCardError, match="pkcs11:eve"):
        await backend.open("pkcs11:eve")
    with pytest.raises(KeyMissingError, match="ID 77 chosen for 9A"):
        await backend.open("pkcs11:ann/9A=77")


@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_a_module_that_can_not_be_used_is_listed_with_the_reason(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.so"
    if content:
        path.write_bytes(content)
    (listing,) = asyncio.run(Pkcs11Backend([path]).find())
    assert listing.name == "pkcs11:"
    assert str(path) in listing.description
    assert "PKCS#11 module" in listing.problem


async def test_wrong_pins_are_counted_as_far_as_that_goes(hsm: SoftHsm) -> None:
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P256, "01")
    async with opened(hsm) as card:
        assert await card.attempts_remaining() == 3
        assert await card.attempts_told() is None, "that is a guess"
        for left in (2, 1, 1):
            with pytest.raises(PinWrongError, match="does not tell") as caught:
                await card.verify_pin(WRONG)
            assert (caught.value.attempts_remaining, await card.attempts_remaining()) == (left, left)
            assert await card.attempts_told() == (1 if left == 1 else None)
        await card.verify_pin(PIN)
        assert await card.attempts_remaining() == 3
        with pytest.raises(PinWrongError):
            await card.verify_pin(WRONG)
        with pytest.raises(PinNeededError):
            await card.use_key(request_for_9a())


def request_for_9a() -> KeyRequest:
    return KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, b"d" * 32)


@pytest.mark.parametrize("pin", [b"", b"\xff\xff", b"1" * 300])
async def test_what_can_be_no_pin_opens_nothing(hsm: SoftHsm, pin: bytes) -> None:
    async with opened(hsm) as card:
        with pytest.raises(CardError):
            await card.verify_pin(pin)


async def test_a_locked_or_closed_card_wants_its_pin_again(hsm: SoftHsm) -> None:
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P256, "01")
    async with opened(hsm) as card:
        for forget in (card.lock, card.close):
            await card.verify_pin(PIN)
            await card.use_key(request_for_9a())
            await forget()
            with pytest.raises(PinNeededError):
                await card.use_key(request_for_9a())


async def test_a_key_that_always_wants_the_pin_gets_it_each_time(hsm: SoftHsm) -> None:
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P256, "01", "--always-auth")
    hsm.add_key(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, "03", "--always-auth")
    hsm.add_key(Slot.SIGNATURE, Algorithm.P256, "02")
    decrypt = KeyRequest(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, Operation.DECRYPT, b"\0" + b"\x5a" * 255)
    async with opened(hsm) as card:
        for request in (request_for_9a(), decrypt):
            await card.verify_pin(PIN)
            check(card, request, (await card.use_key(request)).output)
            with pytest.raises(PinNeededError, match="before each use"):
                await card.use_key(request)
        await card.verify_pin(PIN)
        for _ in range(2):
            await card.use_key(KeyRequest(Slot.SIGNATURE, Algorithm.P256, Operation.SIGN, b"d" * 32))


async def test_pin_policies_are_the_standards_or_stricter(hsm: SoftHsm) -> None:
    for slot, key_id in ((Slot.AUTHENTICATION, "01"), (Slot.SIGNATURE, "02"), (Slot.CARD_AUTHENTICATION, "04")):
        hsm.add_key(slot, Algorithm.P256, key_id)
    async with opened(hsm) as card:
        policies = {key.slot: key.pin_policy for key in card.contents.keys}
        assert policies == {
            Slot.AUTHENTICATION: PinPolicy.ONCE,
            Slot.SIGNATURE: PinPolicy.ALWAYS,
            Slot.CARD_AUTHENTICATION: PinPolicy.ONCE,
        }


async def test_the_pin_is_changed_and_unblocked(hsm: SoftHsm) -> None:
    async with opened(hsm) as card:
        with pytest.raises(PinWrongError):
            await card.change_pin(WRONG, NEW)
        await card.change_pin(PIN, NEW)
        await card.verify_pin(NEW)
        with pytest.raises(PukWrongError):
            await card.unblock_pin(WRONG, PIN)
        await card.unblock_pin(SO_PIN, PIN)
        await card.verify_pin(PIN)
        with pytest.raises(UsageError, match="does not take"):
            await card.change_pin(PIN, b"1")


async def test_a_card_that_pads_by_itself_signs_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "padding"
    folder.mkdir()
    hsm = make_hsm(folder, monkeypatch, "slots.mechanisms = CKM_RSA_PKCS,CKM_ECDSA")
    hsm.add_card()
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.RSA_2048, "01")
    private = hsm.add_key(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, "03")
    assert isinstance(private, rsa.RSAPrivateKey)
    cipher = private.public_key().encrypt(b"a text", padding.PKCS1v15())
    async with opened(hsm) as card:
        await card.verify_pin(PIN)
        for content in (
            b"SRA-CHALLENGE-V1" + b"s" * 32,
            bytes.fromhex("3031300d060960864801650304020105000420") + bytes(32),
        ):
            block = b"\0\1" + b"\xff" * (253 - len(content)) + b"\0" + content
            request = KeyRequest(Slot.AUTHENTICATION, Algorithm.RSA_2048, Operation.SIGN, block)
            check(card, request, (await card.use_key(request)).output)
        with pytest.raises(KeyMissingError, match="PSS"):
            await card.use_key(request_for(Slot.AUTHENTICATION))
        decrypted = await card.use_key(KeyRequest(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, Operation.DECRYPT, cipher))
        assert decrypted.output.endswith(b"\0a text")
        assert decrypted.output.startswith(b"\0\2")
        garbled = bytes([cipher[0] ^ 1]) + cipher[1:]
        with pytest.raises(CardError):
            await card.use_key(KeyRequest(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, Operation.DECRYPT, garbled))


async def test_what_a_key_may_not_do_is_told(hsm: SoftHsm) -> None:
    hsm.add_key(Slot.AUTHENTICATION, Algorithm.P256, "01")
    derive = KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.DERIVE, request_for(Slot.RETIRED_1).input)
    async with opened(hsm) as card:
        await card.verify_pin(PIN)
        with pytest.raises(KeyMissingError, match="may not derive"):
            await card.use_key(derive)
        for slot, algorithm in ((Slot.AUTHENTICATION, Algorithm.P384), (Slot.SIGNATURE, Algorithm.P256)):
            with pytest.raises(KeyMissingError, match=f"no {algorithm.name} key {slot:02X}"):
                await card.use_key(KeyRequest(slot, algorithm, Operation.SIGN, b"d" * 32))


async def test_a_certificate_without_its_key_is_told(hsm: SoftHsm) -> None:
    hsm.add_certificate(certificate("digital_signature"), "01")
    async with opened(hsm) as card:
        await card.verify_pin(PIN)
        with pytest.raises(KeyMissingError, match="not its private key"):
            await card.use_key(request_for_9a())


async def test_a_card_that_this_program_has_open_already_is_busy(hsm: SoftHsm) -> None:
    async with opened(hsm) as card:
        other = await Pkcs11Backend([hsm.module]).open("pkcs11:ann")
        await card.verify_pin(PIN)
        with pytest.raises(CardBusyError):
            await other.verify_pin(PIN)
        await card.lock()
        await other.verify_pin(PIN)
        await other.close()


async def test_the_event_loop_goes_on_while_the_card_works(hsm: SoftHsm) -> None:
    hsm.add_key(Slot.RETIRED_1, Algorithm.RSA_4096, "05")
    request = KeyRequest(Slot.RETIRED_1, Algorithm.RSA_4096, Operation.DECRYPT, b"\0" + b"\x5a" * 511)
    async with opened(hsm) as card:
        await card.verify_pin(PIN)
        working = asyncio.gather(*(card.use_key(request) for _ in range(20)))
        rounds = 0
        while not working.done():
            await asyncio.sleep(0.001)
            rounds += 1
        assert rounds > 20
