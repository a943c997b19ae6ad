"""GENERAL AUTHENTICATE: what reaches the real card, and what is refused before."""

from __future__ import annotations

import pytest

from sra.errors import (
    CardError,
    CardRemovedError,
    KeyMissingError,
    LinkError,
    PinBlockedError,
    PinNeededError,
    RefusalCode,
    RefusedError,
)
from sra.piv import tlv
from sra.piv.apdu import ApduError, Command, StatusError
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot
from sra.piv.tlv import TlvError
from sra.remote.virtual_card.key_use import status_of
from tests.remote.virtual_card.recording import PIN_IDLE, VERIFY, World, make_world

POINT = b"\x04" + bytes(64)
SIGNATURE = bytes.fromhex("3006020101020102")
SIGN, DECRYPT, DERIVE = Operation.SIGN, Operation.DECRYPT, Operation.DERIVE


def authenticate(algorithm: int, slot: int, template: bytes) -> bytes:
    return Command(0x00, 0x87, algorithm, slot, tlv.encode(0x7C, template), 65_536).encode()


def use(algorithm: int, slot: int, data: bytes, field: int = 0x81) -> bytes:
    return authenticate(algorithm, slot, tlv.encode(0x82) + tlv.encode(field, data))


def unlocked(*keys: tuple[Slot, Algorithm]) -> World:
    world = make_world(*keys)
    world.transmit(VERIFY)
    return world


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.CARD_AUTHENTICATION])
@pytest.mark.parametrize("algorithm", [Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096])
def test_an_rsa_key_signs_a_block(slot: Slot, algorithm: Algorithm) -> None:
    world, block = unlocked((slot, algorithm)), b"\1" * algorithm.size
    answer = tlv.encode(0x7C, tlv.encode(0x82, bytes(algorithm.size)))
    assert world.transmit(use(algorithm, slot, block)) == (answer, 0x9000)
    assert world.keys.asked == [KeyRequest(slot=slot, algorithm=algorithm, operation=SIGN, input=block)]


@pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_1, Slot.RETIRED_20])
def test_an_rsa_key_for_key_management_decrypts(slot: Slot) -> None:
    world, block = unlocked((slot, Algorithm.RSA_1024)), b"\1" * 128
    assert world.status(use(Algorithm.RSA_1024, slot, block)) == 0x9000
    assert world.keys.asked == [KeyRequest(slot=slot, algorithm=Algorithm.RSA_1024, operation=DECRYPT, input=block)]


@pytest.mark.parametrize("algorithm", [Algorithm.P256, Algorithm.P384])
@pytest.mark.parametrize("size", [1, 20, 32])
def test_an_ec_key_signs_a_digest(algorithm: Algorithm, size: int) -> None:
    world = unlocked((Slot.AUTHENTICATION, algorithm))
    world.keys.output = SIGNATURE
    answer = tlv.encode(0x7C, tlv.encode(0x82, SIGNATURE))
    assert world.transmit(use(algorithm, 0x9A, bytes(size))) == (answer, 0x9000)
    assert [(request.operation, request.input) for request in world.keys.asked] == [(SIGN, bytes(size))]


@pytest.mark.parametrize("slot", [Slot.KEY_MANAGEMENT, Slot.RETIRED_7])
def test_an_ec_key_for_key_management_derives(slot: Slot) -> None:
    world = unlocked((slot, Algorithm.P256))
    assert world.status(use(0x11, slot, POINT, 0x85)) == 0x9000
    assert [(request.operation, request.input) for request in world.keys.asked] == [(DERIVE, POINT)]


def test_the_fields_may_come_in_either_order() -> None:
    world = unlocked((Slot.AUTHENTICATION, Algorithm.P256))
    world.keys.output = SIGNATURE
    command = authenticate(0x11, 0x9A, tlv.encode(0x81, bytes(32)) + tlv.encode(0x82))
    assert world.status(command) == 0x9000


def test_an_rsa_signature_in_chained_short_commands_is_one_key_use() -> None:
    world = unlocked((Slot.AUTHENTICATION, Algorithm.RSA_2048))
    template = tlv.encode(0x7C, tlv.encode(0x82) + tlv.encode(0x81, bytes(256)))
    assert world.status(bytes.fromhex("1087079AFF") + template[:255]) == 0x9000
    rest = template[255:]
    data, status = world.transmit(bytes.fromhex("0087079A") + bytes([len(rest)]) + rest + b"\0")
    assert (len(data), status) == (256, 0x6108)
    assert len(world.transmit("00C0000008")[0]) == 8
    assert len(world.keys.asked) == 1


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (use(0x07, 0x9C, bytes(256)), 0x6A86),  # not inserted
        (use(0x07, 0x00, bytes(256)), 0x6A86),  # no key reference
        (use(0x11, 0x9A, bytes(32)), 0x6A86),  # another algorithm
        (use(0x00, 0x9A, bytes(256)), 0x6A86),
        (use(0x07, 0x9A, bytes(255)), 0x6A80),
        (use(0x07, 0x9A, bytes(257)), 0x6A80),
        (use(0x07, 0x9A, b""), 0x6A80),
        (use(0x07, 0x9A, bytes(256), 0x85), 0x6A80),  # RSA keys don't derive
        (use(0x11, 0x9E, bytes(33)), 0x6A80),  # longer than the curve
        (use(0x11, 0x9E, b""), 0x6A80),
        (use(0x11, 0x9E, POINT, 0x85), 0x6A80),  # for signatures only
        (use(0x11, 0x9D, bytes(32)), 0x6A80),  # for derivation only
        (use(0x11, 0x9D, POINT[:-1], 0x85), 0x6A80),
        (use(0x11, 0x9D, b"\x02" + bytes(64), 0x85), 0x6A80),
        (authenticate(0x11, 0x9E, tlv.encode(0x81, bytes(32))), 0x6A80),  # asks for no response
        (authenticate(0x11, 0x9E, tlv.encode(0x82, b"\0") + tlv.encode(0x81, bytes(32))), 0x6A80),
        (authenticate(0x11, 0x9E, tlv.encode(0x82) + tlv.encode(0x81, b"\0") * 2), 0x6A80),
        (authenticate(0x11, 0x9E, tlv.encode(0x82)), 0x6A80),
        (authenticate(0x11, 0x9E, b""), 0x6A80),
        (bytes.fromhex("0087119E 037D0100"), 0x6A80),
        (bytes.fromhex("0087119E"), 0x6A80),
    ],
)
def test_what_a_key_is_not_for_never_reaches_it(command: bytes, status: int) -> None:
    world = unlocked(
        (Slot.AUTHENTICATION, Algorithm.RSA_2048),
        (Slot.KEY_MANAGEMENT, Algorithm.P256),
        (Slot.CARD_AUTHENTICATION, Algorithm.P256),
    )
    assert world.transmit(command) == (b"", status)
    assert world.keys.asked == []


def test_a_key_that_wants_the_pin_once() -> None:
    world = make_world((Slot.AUTHENTICATION, Algorithm.RSA_2048))
    sign = use(0x07, 0x9A, bytes(256))
    assert world.status(sign) == 0x6982
    assert world.keys.asked == []
    world.transmit(VERIFY)
    assert [world.status(sign), world.status(sign)] == [0x9000, 0x9000]
    world.clock.now += PIN_IDLE
    assert world.status(sign) == 0x6982


def test_a_key_that_wants_the_pin_each_time_lets_other_commands_come_between() -> None:
    world = make_world((Slot.SIGNATURE, Algorithm.RSA_2048))
    sign = use(0x07, 0x9C, bytes(256))
    world.transmit(VERIFY)
    world.transmit("00CB3FFF035C017E08")
    assert [world.status(sign), world.status(sign)] == [0x9000, 0x6982]
    world.transmit(VERIFY)
    assert world.status(sign) == 0x9000


def test_a_key_that_wants_no_pin() -> None:
    world = make_world((Slot.CARD_AUTHENTICATION, Algorithm.RSA_2048))
    assert world.status(use(0x07, 0x9E, bytes(256))) == 0x9000
    assert world.pins.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RefusedError(RefusalCode.NOT_ALLOWED, "denied"), 0x6985),
        (RefusedError(RefusalCode.NOT_INSERTED, "ejected"), 0x6985),
        (RefusedError(RefusalCode.TIMEOUT, "nobody answered"), 0x6400),
        (RefusedError(RefusalCode.CARD, "card"), 0x6F00),
        (RefusedError(RefusalCode.INTERNAL, "defect"), 0x6F00),
        (KeyMissingError("no key"), 0x6A88),
        (PinBlockedError(), 0x6983),
        (CardRemovedError("gone"), 0x6F00),
        (LinkError("gone"), 0x6F00),
        (TimeoutError(), 0x6400),
    ],
)
def test_every_failure_has_its_status_word_and_keeps_the_pin(error: Exception, status: int) -> None:
    world = unlocked((Slot.AUTHENTICATION, Algorithm.RSA_2048))
    world.keys.error = error
    assert world.transmit(use(0x07, 0x9A, bytes(256))) == (b"", status)
    assert len(world.keys.asked) == 1
    assert world.status("00200080") == 0x9000


@pytest.mark.parametrize("error", [PinNeededError(), RefusedError(RefusalCode.PIN_NEEDED, "PIN first")])
def test_when_the_real_card_has_forgotten_the_pin_so_do_we(error: Exception) -> None:
    world = unlocked((Slot.AUTHENTICATION, Algorithm.RSA_2048))
    world.keys.error = error
    assert world.status(use(0x07, 0x9A, bytes(256))) == 0x6982
    assert world.status("00200080") == 0x63C3


@pytest.mark.parametrize("output", [bytes(255), bytes(257), b"\0"])
def test_an_output_of_the_wrong_size_is_not_passed_on(output: bytes) -> None:
    world = unlocked((Slot.AUTHENTICATION, Algorithm.RSA_2048))
    world.keys.output = output
    assert world.transmit(use(0x07, 0x9A, bytes(256))) == (b"", 0x6F00)


@pytest.mark.parametrize("output", [bytes(7), bytes(73)])
def test_an_ec_signature_of_an_impossible_size_is_not_passed_on(output: bytes) -> None:
    world = unlocked((Slot.AUTHENTICATION, Algorithm.P256))
    world.keys.output = output
    assert world.transmit(use(0x11, 0x9A, bytes(32))) == (b"", 0x6F00)


@pytest.mark.parametrize(("algorithm", "size"), [(0x00, 8), (0x03, 8), (0x08, 16), (0x0A, 16), (0x0C, 16)])
def test_random_numbers_cost_no_round_trip(algorithm: int, size: int) -> None:
    world = make_world()
    expected = tlv.encode(0x7C, tlv.encode(0x81, bytes(range(size))))
    assert world.transmit(authenticate(algorithm, 0x9B, tlv.encode(0x81))) == (expected, 0x9000)
    assert world.asked == 0


@pytest.mark.parametrize("template", ["8000", "8108" + "00" * 8, "8208" + "00" * 8, "80008100", "", "8200"])
def test_nobody_authenticates_with_the_management_key(template: str) -> None:
    world = make_world()
    assert world.transmit(authenticate(0x03, 0x9B, bytes.fromhex(template))) == (b"", 0x6982)
    assert world.asked == 0


def test_the_management_key_has_no_other_algorithms() -> None:
    assert make_world().status(authenticate(0x07, 0x9B, tlv.encode(0x81))) == 0x6A86


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
