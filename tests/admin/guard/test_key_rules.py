"""Rules: which fits, which decides, and that a damaged file allows nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.admin.guard.key_rules import (
    MAX_MINUTES,
    MAX_RULES,
    KeyRule,
    RuleAnswer,
    RuleVerdict,
    answers,
    decide,
    parse_answer,
    parse_file,
    parse_slots,
)
from sra.errors import UsageError
from sra.piv.keys import Slot

RETIRED = frozenset(slot for slot in Slot if slot.is_retired)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("ask", RuleAnswer(RuleVerdict.ASK)),
        ("ask once", RuleAnswer(RuleVerdict.ASK_ONCE)),
        ("ask every 1 minute", RuleAnswer(RuleVerdict.ASK_EVERY, 1)),
        ("ask every 15 minutes", RuleAnswer(RuleVerdict.ASK_EVERY, 15)),
        ("ask every 1440 minutes", RuleAnswer(RuleVerdict.ASK_EVERY, 1440)),
        ("allow", RuleAnswer(RuleVerdict.ALLOW)),
        ("deny", RuleAnswer(RuleVerdict.DENY)),
    ],
)
def test_every_form_of_an_answer_is_understood(text: str, answer: RuleAnswer) -> None:
    assert parse_answer(text) == answer
    assert parse_answer(str(answer)) == answer


@pytest.mark.parametrize(
    "text",
    [
        "", "Allow", "ALLOW", " allow", "allow ", "yes", "ask every", "ask every minutes", "ask every 0 minutes",
        "ask every 1441 minutes", "ask every -1 minutes", "ask every 99999 minutes", "ask every 1.5 minutes",
        "ask every 15 minutes, allow", "ask once\n", "ask twice", "never",
    ],
)  # fmt: skip
def test_anything_else_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match="an answer is"):
        parse_answer(text)


@given(st.integers(1, MAX_MINUTES))
def test_minutes_survive_being_written_down(minutes: int) -> None:
    answer = RuleAnswer(RuleVerdict.ASK_EVERY, minutes)
    assert parse_answer(str(answer)) == answer


@given(st.text(max_size=80))
def test_no_text_means_allow_but_allow(text: str) -> None:
    try:
        answer = parse_answer(text)
    except ValueError:
        return
    assert (answer.verdict is RuleVerdict.ALLOW) == (text == "allow")


@pytest.mark.parametrize(
    ("text", "slots"),
    [("9A", {Slot.AUTHENTICATION}), ("9c", {Slot.SIGNATURE}), ("82", {Slot.RETIRED_1}), ("retired", RETIRED)],
)
def test_keys_are_named_by_their_slots(text: str, slots: set[Slot]) -> None:
    assert parse_slots(text) == slots


@pytest.mark.parametrize("text", ["", "9B", "96", "all", "*", "9A,9C"])
def test_what_is_no_slot_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a key is"):
        parse_slots(text)


@pytest.mark.parametrize(
    ("pattern", "remote", "named"),
    [
        ("host.example.com", "host.example.com", True),
        ("HOST.example.com", "host.EXAMPLE.com", True),
        ("*.example.com", "host.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "host.example.com.evil.org", False),
        ("*.example.com", "hostXexample.com", False),
        ("host?", "host1", True),
        ("host?", "host", False),
        ("host[12]", "host2", False),
        ("host:4116", "host", True),
        ("[2001:db8::1]", "2001:db8::1", True),
        ("[2001:DB8::1]:4116", "2001:db8::1", True),
        ("[2001:db8::1]:5116", "[2001:db8::1]:5116", True),
        ("2001:db8::4116", "2001:db8::4116", True),
        ("2001:db8::4116", "2001:db8:", False),
        ("[2001:db8::*]:5116", "[2001:db8::1]:5116", True),
        ("*", "anything at all", True),
        ("192.0.2.*", "192.0.2.7", True),
        ("host", "host:4117", False),
        ("host:*", "host:4117", True),
        ("2001:db8::1", "2001:db8::1", True),
    ],
)
def test_a_remote_is_named_by_a_pattern(pattern: str, remote: str, named: bool) -> None:
    assert KeyRule(pattern, ("9A",), "deny").names(remote) is named


def test_a_rule_is_about_its_keys_and_no_others() -> None:
    rule = KeyRule("*", ("9A", "retired"), "allow")
    allowed = {slot for slot, answer in answers([rule], "host").items() if answer.verdict is RuleVerdict.ALLOW}
    assert allowed == {Slot.AUTHENTICATION} | RETIRED


def test_the_first_rule_that_fits_decides() -> None:
    table = (
        KeyRule("kiosk", ("9A",), "deny"),
        KeyRule("*", ("9A",), "allow"),
        KeyRule("kiosk", ("9C",), "ask every 5 minutes"),
        KeyRule("kiosk", ("9C",), "allow"),
    )
    assert decide(table, "kiosk", Slot.AUTHENTICATION).verdict is RuleVerdict.DENY
    assert decide(table, "desk", Slot.AUTHENTICATION).verdict is RuleVerdict.ALLOW
    assert decide(table, "kiosk", Slot.SIGNATURE) == RuleAnswer(RuleVerdict.ASK_EVERY, 5)
    assert decide(tuple(reversed(table)), "kiosk", Slot.AUTHENTICATION).verdict is RuleVerdict.ALLOW


@pytest.mark.parametrize(
    ("slot", "verdict"),
    [
        (Slot.AUTHENTICATION, RuleVerdict.ASK_ONCE),
        (Slot.SIGNATURE, RuleVerdict.ASK),
        (Slot.KEY_MANAGEMENT, RuleVerdict.ASK_ONCE),
        (Slot.CARD_AUTHENTICATION, RuleVerdict.ASK_ONCE),
        (Slot.RETIRED_1, RuleVerdict.ASK_ONCE),
        (Slot.RETIRED_20, RuleVerdict.ASK_ONCE),
    ],
)
def test_without_a_rule_the_person_is_asked(slot: Slot, verdict: RuleVerdict) -> None:
    assert decide((), "host", slot).verdict is verdict


def test_the_defaults_allow_nothing_unasked_and_leave_no_key_out() -> None:
    for slot in Slot:
        assert decide((), "host", slot).verdict not in {RuleVerdict.ALLOW, RuleVerdict.DENY}


def test_a_file_is_a_list_of_rules() -> None:
    data = b"""
    [[rule]]
    remote = "*.example.com"
    keys = ["9A", "retired"]
    answer = "ask every 15 minutes"
    [[rule]]
    remote = "kiosk"
    keys = ["9D"]
    answer = "deny"
    """
    assert parse_file(data, "rules.toml") == (
        KeyRule("*.example.com", ("9A", "retired"), "ask every 15 minutes"),
        KeyRule("kiosk", ("9D",), "deny"),
    )
    assert parse_file(b"", "rules.toml") == ()


GOOD = '[[rule]]\nremote = "a"\nkeys = ["9A"]\nanswer = "allow"\n'
DAMAGED = {
    "no TOML": b"[[rule",
    "no UTF-8": b"\xff\xfe",
    "cut short": GOOD[:-3].encode(),
    "an unknown field": GOOD.encode() + b'color = "red"\n',
    "an unknown table": GOOD.encode() + b"[other]\n",
    "no remote": GOOD.replace('remote = "a"\n', "").encode(),
    "an empty remote": GOOD.replace('"a"', '""').encode(),
    "no keys": GOOD.replace('["9A"]', "[]").encode(),
    "a wrong key": GOOD.replace("9A", "9B").encode(),
    "a wrong answer": GOOD.replace("allow", "perhaps").encode(),
    "a wrong answer after good rules": (GOOD + GOOD.replace("allow", "perhaps")).encode(),
    "keys that are no list": GOOD.replace('["9A"]', '"9A"').encode(),
    "too many rules": GOOD.encode() * (MAX_RULES + 1),
    "depth": b"rule = " + b"[" * 100_000,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_allows_nothing(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"rules\.toml: .*until then nothing is allowed"):
        parse_file(data, "rules.toml")


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_refused(data: bytes) -> None:
    try:
        table = parse_file(data, "rules.toml")
    except UsageError:
        return
    assert table == ()
