"""Every kind of message has a bound, and a flood of any ends after a known number of messages."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from sra.wire import states
from sra.wire.messages import ANSWER_TYPES, ANSWERS, Message, Ping, Remark
from sra.wire.rates import ENDURED, RATES, Bound, Bucket, FloodError, MessageMeter, Rate, refusal_to, table
from tests.wire.samples import SAMPLES

RATED = [kind for kind, rate in RATES.items() if isinstance(rate, Rate)]


def test_every_kind_of_message_has_an_entry() -> None:
    assert set(RATES) == set(get_args(Message))


def test_what_is_bound_by_questions_is_an_answer_and_nothing_else() -> None:
    assert {kind for kind, rate in RATES.items() if rate is Bound.QUESTIONS} <= ANSWER_TYPES


def test_what_is_bound_by_states_can_not_be_said_again_before_something_else_was() -> None:
    moves = {(state, move): after for state, table in states.TABLE.items() for move, after in table.items()}
    for (state, (sender, kind)), after in moves.items():
        if RATES[kind] is Bound.STATES:
            assert after is not state
            again = moves.get((after, (sender, kind)))
            assert again is None or again is not after


@pytest.mark.parametrize("kind", RATED)
def test_a_flood_at_once_is_passed_for_a_burst_and_ends_after_a_known_number(kind: type[Message]) -> None:
    rate = RATES[kind]
    assert isinstance(rate, Rate)
    meter = MessageMeter()
    acted = sum(meter.heard(kind, 0.0) for _ in range((ENDURED + 1) * rate.burst))
    assert acted == rate.burst
    with pytest.raises(FloodError):
        meter.heard(kind, 0.0)


@pytest.mark.parametrize("kind", RATED)
def test_a_flood_that_goes_on_gets_the_rate_and_not_more(kind: type[Message]) -> None:
    rate = RATES[kind]
    assert isinstance(rate, Rate)
    meter, acted = MessageMeter(), 0
    for tick in range(3600 * 4):  # an hour, at one and a half times the rate: it ends somewhere
        try:
            acted += sum(meter.heard(kind, tick / 4) for _ in range(max(1, int(rate.per_second * 1.5 / 4))))
        except FloodError:
            break
    assert acted <= rate.burst + 3600 * rate.per_second


def test_a_peer_within_its_rate_is_never_passed_over() -> None:
    meter = MessageMeter()
    assert all(meter.heard(Ping, number * 2.5) for number in range(10_000))


def test_what_this_end_may_not_say_is_held_back_and_never_a_flood_to_the_other() -> None:
    ours, theirs = MessageMeter(), MessageMeter()
    said = [now for now in (number / 1000 for number in range(100_000)) if ours.may_say(Remark, now)]
    assert all(theirs.heard(Remark, now + 0.01) for now in said)
    assert len(said) <= 20 + 2 * 100 + 1


def test_a_clock_that_stands_still_gives_nothing() -> None:
    bucket = Bucket(Rate(2, 10))
    assert [bucket.take(5.0) for _ in range(3)] == [True, True, False]
    assert bucket.take(5.2)


@pytest.mark.parametrize(
    "sample", [each for each in SAMPLES if type(each) in RATED], ids=lambda each: type(each).__name__
)
def test_a_question_that_is_passed_over_has_a_refusal_that_answers_it(sample: Message) -> None:
    if type(sample) in ANSWERS and not isinstance(sample, Ping):
        assert type(refusal_to(sample)) in ANSWERS[type(sample)]


def test_the_table_of_the_document_is_this_one() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "wire-protocol.md"
    assert table() in document.read_text()
