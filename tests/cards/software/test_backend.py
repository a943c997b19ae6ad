"""The software card as the session sees it: every algorithm and slot, and when each key wants the PIN."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from sra.cards.base import Card
from sra.cards.software.backend import SoftwareBackend, SoftwareCard
from sra.cards.software.file import CardFolder
from sra.errors import (
    CardError,
    CardRemovedError,
    KeyMissingError,
    PinBlockedError,
    PinNeededError,
    PinUnfitError,
    PinWrongError,
    UsageError,
)
from sra.piv import objects
from sra.piv.keys import Algorithm, KeyRequest, Operation, PinPolicy, Slot, purpose
from sra.piv.objects import CERTIFICATES, certificate_in
from tests.cards.conftest import EVERY_ALGORITHM, PIN

BLOCK = b"\0" + b"\x5a" * 511
Body = Callable[[SoftwareCard], Awaitable[None]]


def request_for(slot: Slot) -> KeyRequest:
    algorithm = EVERY_ALGORITHM[slot]
    operation = purpose(slot, algorithm)
    peers = {Algorithm.P256: ec.SECP256R1(), Algorithm.P384: ec.SECP384R1()}
    if operation is Operation.DERIVE:
        numbers = ec.derive_private_key(7, peers[algorithm]).public_key().public_numbers()
        return KeyRequest(
            slot, algorithm, operation, b"\4" + b"".join(v.to_bytes(algorithm.size) for v in (numbers.x, numbers.y))
        )
    return KeyRequest(slot, algorithm, operation, BLOCK[: algorithm.size])


@pytest.fixture
async def card(folder: CardFolder) -> AsyncIterator[SoftwareCard]:
    opened = await SoftwareBackend(folder.path).open("software:ann")
    try:
        yield opened
    finally:
        await opened.close()


def check(card: Card, request: KeyRequest, output: bytes) -> None:
    """Compare an answer with the certificate's public key."""
    certificate = certificate_in(card.contents.objects[CERTIFICATES[request.slot]])
    public = x509.load_der_x509_certificate(certificate).public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        assert pow(int.from_bytes(output), numbers.e, numbers.n) == int.from_bytes(request.input)
        return
    assert isinstance(public, ec.EllipticCurvePublicKey)
    if request.operation is Operation.SIGN:
        digest = SHA256() if request.algorithm is Algorithm.P256 else SHA384()
        public.verify(output, request.input, ec.ECDSA(utils.Prehashed(digest)))
    else:
        assert output == ec.derive_private_key(7, public.curve).exchange(ec.ECDH(), public)


@pytest.mark.parametrize("slot", EVERY_ALGORITHM)
async def test_every_key_does_its_work_after_the_pin(card: SoftwareCard, slot: Slot) -> None:
    await card.verify_pin(PIN)
    request = request_for(slot)
    check(card, request, (await card.use_key(request)).output)


@pytest.mark.parametrize("slot", [slot for slot in EVERY_ALGORITHM if slot is not Slot.CARD_AUTHENTICATION])
async def test_keys_want_the_pin(card: SoftwareCard, slot: Slot) -> None:
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(slot))


async def test_the_card_authentication_key_never_wants_it(card: SoftwareCard) -> None:
    request = request_for(Slot.CARD_AUTHENTICATION)
    check(card, request, (await card.use_key(request)).output)


async def test_authentication_and_management_keys_want_it_once(card: SoftwareCard) -> None:
    await card.verify_pin(PIN)
    for slot in [Slot.AUTHENTICATION, Slot.KEY_MANAGEMENT, Slot.RETIRED_1] * 2:
        await card.use_key(request_for(slot))


async def test_the_signature_key_wants_it_for_each_use(card: SoftwareCard) -> None:
    for _ in range(2):
        await card.verify_pin(PIN)
        await card.use_key(request_for(Slot.SIGNATURE))
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.SIGNATURE))
        await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_any_use_between_ends_what_the_signature_key_needs(card: SoftwareCard) -> None:
    await card.verify_pin(PIN)
    await card.use_key(request_for(Slot.AUTHENTICATION))
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(Slot.SIGNATURE))


async def test_two_signatures_at_once_do_not_share_one_pin(card: SoftwareCard) -> None:
    await card.verify_pin(PIN)
    both = (card.use_key(request_for(Slot.SIGNATURE)) for _ in range(2))
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sum(isinstance(outcome, PinNeededError) for outcome in outcomes) == 1


async def test_a_wrong_pin_ends_what_the_right_one_had_allowed(card: SoftwareCard) -> None:
    await card.verify_pin(PIN)
    with pytest.raises(PinWrongError):
        await card.verify_pin(b"654321")
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_closing_forgets_the_pin(card: SoftwareCard) -> None:
    await card.verify_pin(PIN)
    await card.close()
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_two_open_cards_share_the_tries_but_not_the_pin(card: SoftwareCard, folder: CardFolder) -> None:
    other = await SoftwareBackend(folder.path).open("software:ann")
    with pytest.raises(PinWrongError):
        await other.verify_pin(b"654321")
    assert await card.attempts_remaining() == 2
    await other.verify_pin(PIN)
    with pytest.raises(PinNeededError):
        await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_a_blocked_card_says_so(card: SoftwareCard) -> None:
    for _ in range(3):
        with pytest.raises(CardError):
            await card.verify_pin(b"654321")
    with pytest.raises(PinBlockedError):
        await card.verify_pin(PIN)
    assert await card.attempts_remaining() == 0


@pytest.mark.parametrize("pin", [b"", b"6", b"123456789"])
async def test_what_can_be_no_pin_costs_no_try(card: SoftwareCard, pin: bytes) -> None:
    with pytest.raises(PinUnfitError, match="6 to 8"):
        await card.verify_pin(pin)
    assert await card.attempts_remaining() == 3


async def test_keys_that_are_not_there_are_told_apart(card: SoftwareCard) -> None:
    with pytest.raises(KeyMissingError, match="P256 key 83"):
        await card.use_key(KeyRequest(Slot.RETIRED_2, Algorithm.P256, Operation.SIGN, b"x"))
    with pytest.raises(KeyMissingError, match="P384 key 9A"):
        await card.use_key(KeyRequest(Slot.AUTHENTICATION, Algorithm.P384, Operation.SIGN, b"x"))


async def test_the_event_loop_goes_on_during_a_pin_check(card: SoftwareCard) -> None:
    checking = asyncio.create_task(card.verify_pin(PIN))
    rounds = 0
    while not checking.done():
        await asyncio.sleep(0.001)
        rounds += 1
    assert rounds > 10


async def test_removal_is_seen(card: SoftwareCard, folder: CardFolder) -> None:
    waiting = asyncio.create_task(card.wait_removed())
    await card.verify_pin(PIN)
    assert not waiting.done()
    folder.remove("ann")
    await asyncio.wait_for(waiting, 1)
    with pytest.raises(CardRemovedError):
        await card.attempts_remaining()
    with pytest.raises(CardRemovedError):
        await card.use_key(request_for(Slot.AUTHENTICATION))


async def test_the_contents_are_those_of_a_piv_card(card: SoftwareCard, folder: CardFolder) -> None:
    assert card.name == "software:ann"
    assert {key.slot: key.algorithm for key in card.contents.keys} == EVERY_ALGORITHM
    assert objects.guid_of(card.contents.objects[objects.CHUID]) == folder.read("ann").guid
    assert objects.parse_key_history(card.contents.objects[objects.KEY_HISTORY]).on_card == 20
    assert {objects.DISCOVERY, objects.CARD_CAPABILITY_CONTAINER} < card.contents.objects.keys()


async def test_pin_policies_are_those_of_the_standard(card: SoftwareCard) -> None:
    policies = {key.slot: key.pin_policy for key in card.contents.keys}
    assert policies[Slot.AUTHENTICATION] is PinPolicy.ONCE
    assert policies[Slot.SIGNATURE] is PinPolicy.ALWAYS
    assert policies[Slot.KEY_MANAGEMENT] is policies[Slot.RETIRED_1] is PinPolicy.ONCE
    assert policies[Slot.CARD_AUTHENTICATION] is PinPolicy.NEVER


def test_a_certificate_that_does_not_fit_its_key_is_damage(folder: CardFolder) -> None:
    card = folder.read("ann")
    first, second, *others = card.keys
    swapped = msgspec.structs.replace(first, certificate=second.certificate)
    for key in (swapped, msgspec.structs.replace(first, certificate=b"rubbish")):
        with folder.locked():
            folder.replace("ann", msgspec.structs.replace(card, keys=(key, second, *others)))
        with pytest.raises(CardError, match="damaged"):
            asyncio.run(SoftwareBackend(folder.path).open("software:ann"))


def test_all_cards_are_listed_with_what_is_wrong(folder: CardFolder) -> None:
    (folder.path / "bad.softcard").write_bytes(b"rubbish")
    (folder.path / "bad.softcard").chmod(0o600)
    ann, bad = asyncio.run(SoftwareBackend(folder.path).find())
    assert (ann.name, ann.problem) == ("software:ann", "")
    assert bad.name == "software:bad"
    assert "damaged" in bad.problem


def test_other_names_are_refused(folder: CardFolder) -> None:
    with pytest.raises(UsageError, match="software:"):
        asyncio.run(SoftwareBackend(folder.path).open("pcsc:ann"))
