"""When the PIN counts as verified."""

from __future__ import annotations

import pytest

from sra.piv.apdu import Status, StatusError
from sra.piv.keys import PinOutcome, PinPolicy, PinReply
from sra.remote.virtual_card.pin_state import PinState
from tests.remote.virtual_card.recording import PIN_IDLE, Clock

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
