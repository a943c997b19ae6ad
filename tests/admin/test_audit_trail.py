"""What the admin's machine writes down, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from sra.admin.audit_trail import AuditTrail
from sra.admin.events import (
    CardBusy,
    CodeClosed,
    Connected,
    Ejected,
    Event,
    Flooded,
    Inserted,
    KeyUsed,
    KeyWithheld,
    LinkLost,
    Paused,
    PinAsked,
    QuestionsStopped,
    RealPinTyped,
    Refused,
    ScreenClosed,
    ScreenOpened,
    ScreenRecorded,
    TooMany,
)
from sra.audit import Audit, AuditError, read, verify
from sra.piv.keys import Operation, PinOutcome, Slot
from tests.admin.watching import Watching

EXAMPLES: list[tuple[Event, str, dict[str, object]]] = [
    (
        Connected("ann", "remote", "1a2b3c4d"),
        "connected",
        {"account": "ann", "host": "remote", "session": "1a2b3c4d"},
    ),
    (Inserted("reader 0"), "inserted", {"reader": "reader 0"}),
    (KeyWithheld(Slot.KEY_MANAGEMENT, "why"), "withheld", {"slot": "9D", "reason": "why"}),
    (Ejected("gone"), "ejected", {"reason": "gone", "wished": False}),
    (
        KeyUsed(Slot.AUTHENTICATION, Operation.SIGN, "sha256", b"\x01\xab", 12.6),
        "key-use",
        {"slot": "9A", "operation": "sign", "hash": "sha256", "digest": "01ab", "milliseconds": 13},
    ),
    (PinAsked(True, PinOutcome.WRONG), "pin", {"entry": "typed", "outcome": "wrong"}),
    (PinAsked(False, PinOutcome.CANCELLED), "pin", {"entry": "pad", "outcome": "cancelled"}),
    (
        Refused("sign with slot 9A", "no"),
        "refused",
        {"what": "sign with slot 9A", "reason": "no", "code": "not-allowed"},
    ),
    (TooMany("Remark"), "too-many", {"message": "Remark"}),
    (LinkLost("broke", 0.5), "link-lost", {"reason": "broke"}),
    (RealPinTyped(), "real-pin-typed", {}),
    (CodeClosed(), "code-closed", {}),
    (Flooded(500), "flood", {"refused": 500}),
    (QuestionsStopped(3), "asked-in-vain", {"questions": 3}),
    (CardBusy(Slot.SIGNATURE), "card-waits", {"slot": "9C"}),
    (Paused(True), "paused", {"paused": True}),
    (ScreenRecorded(), "screen-is-recorded", {}),
    (ScreenOpened(True), "screen-opened", {"view_only": True}),
    (
        ScreenClosed("closed", 7, 1000, 10),
        "screen-closed",
        {"reason": "closed", "seconds": 7, "received": 1000, "sent": 10},
    ),
]


def test_every_kind_of_event_has_an_example() -> None:
    assert {type(event) for event, _, _ in EXAMPLES} == set(get_args(Event))


@pytest.mark.parametrize(("event", "name", "facts"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_an_event_is_written_down_with_its_facts(
    event: Event, name: str, facts: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    AuditTrail(Audit(path).record, "remote:4117", Watching()).notice(event)
    record = json.loads(path.read_text())
    assert (record["event"], record["facts"]) == (name, facts | {"remote": "remote:4117"})


def test_every_event_is_shown_and_the_chain_holds(tmp_path: Path) -> None:
    path, watching = tmp_path / "audit.jsonl", Watching()
    trail = AuditTrail(Audit(path).record, "remote", watching)
    for event, _, _ in EXAMPLES:
        trail.notice(event)
    assert watching.events == [event for event, _, _ in EXAMPLES]
    assert verify(path) is None


def test_what_happens_in_a_session_has_its_identifier_and_in_the_next_another(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    trail = AuditTrail(Audit(path).record, "remote", Watching())
    for session in ("1a2b3c4d", "00000000"):
        for event in (Connected("ann", "remote", session), Inserted("reader 0"), LinkLost("broke", 0.5)):
            trail.notice(event)
    assert [record.facts["session"] for record in read(path)] == ["1a2b3c4d"] * 3 + ["00000000"] * 3


def test_what_is_shown_has_been_written_down_before() -> None:
    order: list[str] = []

    class Showing:
        def notice(self, event: Event) -> None:
            order.append(f"shown {type(event).__name__}")

    def record(event: str, **facts: object) -> None:
        order.append(f"recorded {event} {len(facts)}")

    AuditTrail(record, "remote", Showing()).notice(Inserted("reader 0"))
    assert order == ["recorded inserted 2", "shown Inserted"]


def test_what_can_not_be_written_down_is_not_shown_as_if_it_were() -> None:
    watching = Watching()

    def full(event: str, **facts: object) -> None:
        raise AuditError("the disk is full")

    with pytest.raises(AuditError):
        AuditTrail(full, "remote", watching).notice(Inserted("reader 0"))
    assert watching.events == []
