"""VERIFY, typed or on the PIN pad: what is asked, what is answered, and what never gets as far."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import CardError, LinkError, PinNeededError, RefusalCode, RefusedError
from sra.piv.apdu import Status, StatusError, tries_remaining
from sra.piv.keys import Algorithm, PinOutcome, PinPolicy, PinReply, PinRequest, Slot
from sra.remote.virtual_card.pin_commands import PinState, typed_pin
from tests.remote.virtual_card.recording import PIN_IDLE, SELECT, VERIFY, Clock, make_world

CARD = (Slot.AUTHENTICATION, Algorithm.RSA_2048)
ASK = "00200080"
OUTCOMES = [
    (PinReply(outcome=PinOutcome.VERIFIED, attempts_remaining=3), 0x9000),
    (PinReply(outcome=PinOutcome.WRONG, attempts_remaining=2), 0x63C2),
    (PinReply(outcome=PinOutcome.WRONG, attempts_remaining=0), 0x6983),
    (PinReply(outcome=PinOutcome.BLOCKED, attempts_remaining=0), 0x6983),
    (PinReply(outcome=PinOutcome.CANCELLED, attempts_remaining=3), 0x6401),
    (PinReply(outcome=PinOutcome.TIMED_OUT, attempts_remaining=3), 0x6400),
]


def pad_command(
    verify: bytes = bytes.fromhex("0020008008") + b"\xff" * 8, *, order: Literal["little", "big"] = "little"
) -> bytes:
    """The PIN_VERIFY_STRUCTURE that OpenSC makes, as the driver passes it on."""
    length = len(verify).to_bytes(4, order)
    structure = bytes.fromhex("1E1E820004080402010904000000 00") + length + verify
    return bytes.fromhex("FFC20106") + bytes([len(structure)]) + structure


@pytest.mark.parametrize(("reply", "status"), OUTCOMES)
def test_a_typed_pin_is_asked_once_and_its_outcome_told(reply: PinReply, status: int) -> None:
    world = make_world(CARD)
    world.pins.reply = reply
    assert world.transmit(VERIFY) == (b"", status)
    assert world.pins.asked == [PinRequest(typed=b"123456")]


@pytest.mark.parametrize(("reply", "status"), OUTCOMES)
@pytest.mark.parametrize("order", ["little", "big"])
def test_the_pin_pad_is_asked_once_and_its_outcome_told(
    reply: PinReply, status: int, order: Literal["little", "big"]
) -> None:
    world = make_world(CARD, pin_pad=True)
    world.pins.reply = reply
    assert world.transmit(pad_command(order=order)) == (b"", status)
    assert world.pins.asked == [PinRequest(typed=None)]
    assert world.status(ASK) == (0x9000 if status == 0x9000 else tries_remaining(reply.attempts_remaining))


def test_without_a_pin_pad_its_command_does_not_exist() -> None:
    world = make_world(CARD)
    assert world.status(pad_command()) == 0x6E00
    assert world.asked == 0


@pytest.mark.parametrize(
    "command",
    [
        pad_command(bytes.fromhex("0020000008") + b"\xff" * 8),
        pad_command(bytes.fromhex("0020008108") + b"\xff" * 8),
        pad_command(bytes.fromhex("00240080")),
        pad_command(b""),
        pad_command()[:4] + b"\x05" + bytes(5),
        pad_command()[:4] + bytes([len(pad_command()) - 6]) + pad_command()[5:-1],
        bytes.fromhex("FFC20106"),
    ],
)
def test_a_structure_about_anything_else_never_reaches_the_pad(command: bytes) -> None:
    world = make_world(CARD, pin_pad=True)
    assert world.status(command) == 0x6A80
    assert world.asked == 0


@pytest.mark.parametrize("command", ["FFC2010700", "FFC2000600", "FF00000000", "FFCA000000"])
def test_other_commands_for_the_reader_are_refused(command: str) -> None:
    assert make_world(CARD, pin_pad=True).status(command) == 0x6E00


def test_the_state_is_told_without_asking_anybody() -> None:
    world = make_world(CARD)
    assert [world.status(ASK), world.status(ASK + "00")] == [0x63C3, 0x63C3]
    assert world.asked == 0
    world.transmit(VERIFY)
    assert world.status(ASK) == 0x9000


def test_the_tries_told_are_those_of_the_last_reply_even_after_a_reset() -> None:
    world = make_world(CARD)
    world.pins.reply = PinReply(outcome=PinOutcome.WRONG, attempts_remaining=7)
    world.transmit(VERIFY)
    world.applet.reset()
    world.transmit(SELECT)
    assert world.status(ASK) == 0x63C7


def test_a_program_can_have_the_pin_forgotten() -> None:
    world = make_world(CARD)
    world.transmit(VERIFY)
    assert world.status("0020FF80") == 0x9000
    assert world.status(ASK) == 0x63C3
    assert world.status("0020FF80 01 31") == 0x6700


def test_the_pin_is_forgotten_when_nobody_needs_it() -> None:
    world = make_world(CARD)
    world.transmit(VERIFY)
    world.clock.now += PIN_IDLE
    assert world.status(ASK) == 0x63C3


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("00200000 08313233343536FFFF", 0x6A88),
        ("00200081 08313233343536FFFF", 0x6A88),
        ("00200096", 0x6A88),
        ("00200180 08313233343536FFFF", 0x6A86),
        ("00200080 06313233343536", 0x6700),
        ("00200080 09313233343536FFFFFF", 0x6700),
        ("00200080 08FFFFFFFFFFFFFFFF", 0x6A80),
        ("00200080 083132FF343536FFFF", 0x6A80),
        ("00200080 083132333435360000", 0x6A80),
        ("10200080 08313233343536FFFF", 0x6884),
    ],
)
def test_what_is_no_pin_of_this_card_never_costs_a_try(command: str, status: int) -> None:
    world = make_world(CARD)
    assert world.status(command) == status
    assert world.asked == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RefusedError(RefusalCode.NOT_ALLOWED, "no"), 0x6985),
        (RefusedError(RefusalCode.TIMEOUT, "late"), 0x6400),
        (PinNeededError(), 0x6982),
        (TimeoutError(), 0x6400),
        (CardError("gone"), 0x6F00),
        (LinkError("gone"), 0x6F00),
    ],
)
def test_a_pin_question_that_fails_leaves_no_verified_pin(error: Exception, status: int) -> None:
    world = make_world(CARD)
    world.transmit(VERIFY)
    world.pins.error = error
    assert world.status(VERIFY) == status
    assert world.status(ASK) == 0x63C3


@given(st.binary(min_size=8, max_size=8))
def test_eight_bytes_are_a_padded_pin_or_refused(data: bytes) -> None:
    try:
        pin = typed_pin(data)
    except StatusError:
        return
    assert 1 <= len(pin) <= 8
    assert pin.ljust(8, b"\xff") == data


VERIFIED = PinReply(outcome=PinOutcome.VERIFIED, attempts_remaining=5)
WRONG = PinReply(outcome=PinOutcome.WRONG, attempts_remaining=2)


def allows(state: PinState, policy: PinPolicy) -> bool:
    try:
        state.use_for(policy)
    except StatusError as error:
        assert error.status == Status.SECURITY_NOT_SATISFIED  # noqa: PT017
        return False
    return True


def verified(clock: Clock) -> PinState:
    state = PinState(clock, PIN_IDLE)
    state.remember(VERIFIED)
    return state


def test_a_new_card_has_three_tries_and_no_verified_pin() -> None:
    state = PinState(Clock(), PIN_IDLE)
    assert (state.is_verified, state.attempts_remaining) == (False, 3)
    assert [allows(state, policy) for policy in PinPolicy] == [True, False, False]


def test_a_verified_pin_lets_a_once_key_be_used_again_and_again() -> None:
    state = verified(Clock())
    assert [allows(state, PinPolicy.ONCE) for _ in range(3)] == [True, True, True]


def test_a_verified_pin_lets_an_always_key_be_used_once() -> None:
    state = verified(Clock())
    assert [allows(state, PinPolicy.ALWAYS) for _ in range(2)] == [True, False]
    assert state.is_verified


@pytest.mark.parametrize("policy", [PinPolicy.ONCE, PinPolicy.NEVER])
def test_the_use_of_another_key_takes_the_always_keys_turn(policy: PinPolicy) -> None:
    state = verified(Clock())
    assert allows(state, policy)
    assert not allows(state, PinPolicy.ALWAYS)


def test_the_pin_is_forgotten_after_the_idle_time() -> None:
    clock = Clock()
    state = verified(clock)
    clock.now += PIN_IDLE - 1
    assert state.is_verified
    clock.now += 1
    assert not state.is_verified
    assert [allows(state, policy) for policy in PinPolicy] == [True, False, False]


def test_only_a_use_that_wants_the_pin_prolongs_it() -> None:
    clock = Clock()
    state = verified(clock)
    clock.now += PIN_IDLE - 1
    assert allows(state, PinPolicy.ONCE)
    clock.now += PIN_IDLE - 1
    assert allows(state, PinPolicy.NEVER)
    clock.now += 1
    assert not state.is_verified


def test_a_wrong_pin_ends_what_a_right_one_began() -> None:
    state = verified(Clock())
    state.remember(WRONG)
    assert (state.is_verified, state.attempts_remaining) == (False, 2)


def test_forgetting_keeps_the_number_of_tries() -> None:
    state = verified(Clock())
    state.forget()
    assert (state.is_verified, state.attempts_remaining) == (False, 5)


@pytest.mark.parametrize(("told", "kept"), [(-1, 0), (0, 0), (15, 15), (1000, 15)])
def test_tries_fit_into_a_status_word(told: int, kept: int) -> None:
    state = PinState(Clock(), PIN_IDLE)
    state.remember(PinReply(outcome=PinOutcome.WRONG, attempts_remaining=told))
    assert state.attempts_remaining == kept
