"""Whether the person is asked: by the rules, by what they answered before, and by a PIN that they gave."""

from __future__ import annotations

import pytest

from sra.admin.guard import key_rules as rules
from sra.admin.guard.consent import PIN_COUNTS_FOR, Consent, Requirement
from sra.admin.guard.key_rules import KeyRule
from sra.piv.keys import Slot
from tests.admin.guard_scene import Clock

A, C, D, E = Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT, Slot.CARD_AUTHENTICATION


def consent(*answers: tuple[str, str]) -> tuple[Consent, Clock]:
    """Rules such as ``("9A", "allow")`` for every remote, and the clock."""
    clock = Clock()
    return Consent([KeyRule("*", (keys,), answer) for keys, answer in answers], "host", clock), clock


@pytest.mark.parametrize("slot", Slot, ids=lambda slot: slot.name)
def test_nothing_is_granted_at_first(slot: Slot) -> None:
    assert consent()[0].need(slot) is Requirement.QUESTION


def test_rules_are_read_once_and_not_at_every_use(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _ = consent(("9A", "allow"), ("9D", "deny"))

    def read(*_: object) -> None:
        raise AssertionError("a rule was read")

    for name in ("parse_slots", "parse_answer", "plain", "answers", "decide"):
        monkeypatch.setattr(rules, name, read)
    assert [asked.need(slot) for slot in (A, C, D)] == [Requirement.NOTHING, Requirement.QUESTION, Requirement.NEVER]
    assert not asked.is_granted(C)


def test_once_is_for_the_connection_and_for_that_key() -> None:
    asked, clock = consent()
    asked.granted(A)
    clock.now += 1e6
    assert asked.need(A) is Requirement.NOTHING
    assert asked.need(D) is Requirement.QUESTION


def test_another_connection_is_asked_anew() -> None:
    asked, _ = consent()
    asked.granted(A)
    assert consent()[0].need(A) is Requirement.QUESTION


def test_each_time_is_each_time() -> None:
    asked, _ = consent()
    asked.granted(C)
    assert asked.need(C) is Requirement.QUESTION
    assert not asked.is_granted(C)


def test_every_so_many_minutes_ends_in_time() -> None:
    asked, clock = consent(("9A", "ask every 5 minutes"))
    asked.granted(A)
    clock.now += 299.9
    assert asked.need(A) is Requirement.NOTHING
    assert asked.is_granted(A)
    clock.now += 0.1
    assert asked.need(A) is Requirement.QUESTION
    assert not asked.is_granted(A)


def test_uses_in_between_do_not_prolong_it() -> None:
    asked, clock = consent(("9A", "ask every 5 minutes"))
    asked.granted(A)
    for _ in range(5):
        clock.now += 59
        assert asked.need(A) is Requirement.NOTHING
    clock.now += 59
    assert asked.need(A) is Requirement.QUESTION


def test_allow_asks_nobody_and_deny_is_no_question() -> None:
    asked, _ = consent(("9A", "allow"), ("9D", "deny"))
    asked.granted(D)
    asked.pin_given()
    assert asked.need(A) is Requirement.NOTHING
    assert asked.need(D) is Requirement.NEVER


def test_a_pin_is_a_yes_to_one_use() -> None:
    asked, _ = consent(("9A", "ask"))
    asked.pin_given()
    assert asked.need(A) is Requirement.NOTHING
    assert asked.need(A) is Requirement.QUESTION


@pytest.mark.parametrize("slot", set(Slot) - {A}, ids=lambda slot: slot.name)
@pytest.mark.parametrize("answer", ["ask", "ask once", "ask every 5 minutes"])
def test_a_pin_that_is_given_for_a_login_is_no_yes_to_another_key(slot: Slot, answer: str) -> None:
    asked, _ = consent((f"{slot:02X}", answer))
    asked.pin_given()
    assert asked.need(slot) is Requirement.QUESTION


def test_a_pin_is_a_yes_to_the_first_key_only_but_for_the_connection_where_once_is_enough() -> None:
    asked, _ = consent()
    asked.pin_given()
    assert asked.need(A) is Requirement.NOTHING
    assert asked.need(D) is Requirement.QUESTION
    assert asked.need(A) is Requirement.NOTHING


@pytest.mark.parametrize("verdict", ["allow", "deny"])
def test_a_pin_that_a_rule_made_needless_is_not_saved_up_for_another_key(verdict: str) -> None:
    asked, _ = consent(("9D", verdict))
    asked.pin_given()
    asked.need(D)
    assert asked.need(A) is Requirement.QUESTION


def test_two_pins_are_no_two_yesses() -> None:
    asked, _ = consent()
    asked.pin_given()
    asked.pin_given()
    assert asked.need(C) is Requirement.QUESTION
    assert asked.need(A) is Requirement.QUESTION


def test_a_pin_counts_within_its_time() -> None:
    for waited, need in ((PIN_COUNTS_FOR - 0.1, Requirement.NOTHING), (PIN_COUNTS_FOR, Requirement.QUESTION)):
        asked, clock = consent()
        asked.pin_given()
        clock.now += waited
        assert asked.need(A) is need


def test_a_pin_starts_the_minutes_too() -> None:
    asked, clock = consent(("9A", "ask every 5 minutes"))
    asked.pin_given()
    assert asked.need(A) is Requirement.NOTHING
    clock.now += 299
    assert asked.need(A) is Requirement.NOTHING
    clock.now += 1
    assert asked.need(A) is Requirement.QUESTION


def test_a_rule_for_another_remote_is_none() -> None:
    asked = Consent([KeyRule("kiosk", ("9E",), "allow")], "host", Clock())
    assert asked.need(E) is Requirement.QUESTION
