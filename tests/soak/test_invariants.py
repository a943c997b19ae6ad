"""Each rule of the soak is shown something that breaks it: a soak that can't fail says nothing."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from soak import invariants, measures
from soak.faults import Effect
from soak.measures import Sample
from soak.place import PIN, Person
from soak.readers import NEVER, Event, parse
from sra.audit import Audit

ANN, BOB = (cast("Person", SimpleNamespace(name=name)) for name in ("ann", "bob"))
READERS = {"ann": 0, "bob": 1}


def steady(memory: int, count: int = 60, every: float = 10, files: int = 20) -> list[Sample]:
    return [Sample(number * every, memory, files) for number in range(count)]


# Removals


def test_a_card_that_is_gone_in_time_is_no_violation() -> None:
    assert invariants.late_removals(Effect(0, [ANN], within=1), READERS, {"ann": 0.99}) == []


def test_a_card_that_goes_late_or_never_is_one() -> None:
    late = invariants.late_removals(Effect(0, [ANN, BOB], within=1), READERS, {"ann": 1.2, "bob": NEVER})
    assert late == [
        "ann's card was gone from reader 0 after 1.20 s, not 1 s",
        "bob's card was gone from reader 1 after inf s, not 1 s",
    ]


def test_a_session_that_is_hurt_by_anothers_fault_is_one() -> None:
    effect = Effect(100, [ANN], spared=[BOB])
    events = [Event(99, "removed", 1), Event(100.1, "removed", 0), Event(101, "inserted", 1), Event(102, "removed", 1)]
    assert invariants.hurt_sessions(effect, READERS, events) == [
        "bob's card was removed 2.00 s after a fault of others"
    ]
    assert invariants.hurt_sessions(effect, READERS, events[:3]) == []


def test_the_report_of_the_readers_is_read() -> None:
    assert parse("12.5000 removed 1") == Event(12.5, "removed", 1)


# What is there at rest


def test_what_is_left_over_or_missing_is_named() -> None:
    before = Counter(["remote: process srad", "remote: file /run/sra/readers/0"])
    now = Counter(["remote: process srad", "remote: process srad", "admin: lock of python"])
    assert sorted(invariants.left_over(before, now)) == [
        "left over: admin: lock of python",
        "left over: remote: process srad",
        "missing: remote: file /run/sra/readers/0",
    ]
    assert invariants.left_over(before, before) == []


# What is written down


def test_a_line_of_an_audit_log_that_is_changed_is_found(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(3):
        Audit(path).record("key-use", number=number)
    assert invariants.broken_chains([path, tmp_path / "none"]) == []
    path.write_text(path.read_text().replace('"number":1', '"number":7'))
    assert invariants.broken_chains([path]) == ["the audit's chain is broken in line 3 of audit.jsonl"]


def test_a_trace_of_a_bug_and_a_pin_are_found_in_a_log_and_the_pin_is_not_shown() -> None:
    lines = [
        "all is well",
        "Traceback (most recent call last):",
        f"the PIN is {PIN}",
        "Task exception was never retrieved",
    ]
    wrong = invariants.bad_lines(lines)
    assert wrong == [
        "in a log: Traceback (most recent call last):",
        "in a log: Task exception was never retrieved",
        "in a log: the PIN is (the PIN)",
    ]
    assert invariants.bad_lines(lines[:1]) == []


# Memory and descriptors


def test_memory_that_stays_is_no_violation() -> None:
    assert not measures.has_grown(steady(10_000))


def test_memory_that_grows_a_little_all_the_time_is_one() -> None:
    growing = [Sample(each.time, round(10_000 + each.time * 2), each.files) for each in steady(0)]
    assert measures.has_grown(growing)
    grown = measures.growth(growing)
    assert grown is not None
    assert 0.05 < grown.share < 0.1


def test_what_is_loaded_in_the_warm_up_and_a_single_peak_count_for_nothing() -> None:
    samples = steady(10_000)
    samples[:12] = [Sample(each.time, 5_000, each.files) for each in samples[:12]]
    samples[-3] = Sample(samples[-3].time, 90_000, 20)
    assert not measures.has_grown(samples)


def test_too_few_samples_say_nothing() -> None:
    assert measures.growth(steady(10_000, 13)) is None
    assert measures.leaked_files(steady(10_000, 13)) == 0


def test_descriptors_that_leak_are_counted_and_one_in_use_is_not() -> None:
    samples = steady(10_000)
    assert measures.leaked_files(samples) == 0
    busy = [Sample(each.time, each.memory, 20 + number % 2) for number, each in enumerate(samples)]
    assert measures.leaked_files(busy) == 0
    leaking = [Sample(each.time, each.memory, 20 + number // 10) for number, each in enumerate(samples)]
    assert measures.leaked_files(leaking) >= 1
