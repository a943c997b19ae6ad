"""Repetitions are counted: nothing is lost from the sum, and nobody makes more lines than the quota."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sra.repetitions import COUNTED_FOR, OTHERS, Quota, Repeated, RepetitionKind, Repetitions

ONE = Quota(1, 60)
KIND = RepetitionKind(("refused", "not-allowed"))


def test_the_first_is_told_at_once_and_the_rest_as_a_number_after_a_minute() -> None:
    repetitions: Repetitions[int] = Repetitions()
    assert [repetitions.passes(KIND, ONE, number, number / 100) for number in range(1000)] == [True] + [False] * 999
    assert repetitions.due(COUNTED_FOR - 1) == []
    (repeated,) = repetitions.due(COUNTED_FOR + 1)
    assert repeated == Repeated(KIND, 999, 999)


def test_a_flood_is_one_line_a_minute_from_then_on() -> None:
    repetitions: Repetitions[int] = Repetitions()
    told = 0
    for second in range(3600):
        told += repetitions.passes(KIND, ONE, second, second)
        for repeated in repetitions.due(second):
            repetitions.told(repeated)
            told += 1
    assert told <= 61


def test_a_burst_is_told_one_by_one_and_the_quota_fills_again() -> None:
    repetitions: Repetitions[int] = Repetitions()
    quota = Quota(10, 30)
    assert sum(repetitions.passes(KIND, quota, 0, 0.0) for _ in range(12)) == 10
    (repeated,) = repetitions.due(61.0)
    repetitions.told(repeated)
    assert [repetitions.passes(KIND, quota, 0, 61.0) for _ in range(3)] == [True, False, False]


def test_what_was_not_told_after_all_is_counted_on() -> None:
    repetitions: Repetitions[str] = Repetitions()
    for text in ("first", "second"):
        repetitions.passes(KIND, ONE, text, 0.0)
    assert repetitions.due(60.0) == [Repeated(KIND, 1, "second")]
    repetitions.passes(KIND, ONE, "third", 61.0)
    assert repetitions.due(61.0) == [Repeated(KIND, 2, "third")]
    assert repetitions.due(0.0, at_once=True) == [Repeated(KIND, 2, "third")]


def test_names_from_outside_are_a_bounded_number_and_the_rest_is_counted_together() -> None:
    repetitions: Repetitions[int] = Repetitions(max_kinds=8)
    told = sum(
        repetitions.passes(
            RepetitionKind(("refused", code), f"10.{number // 256}.{number % 256}.0/24"), ONE, number, 0.0
        )
        for code in ("proof", "certificate")
        for number in range(5000)
    )
    assert told == 8 + 2
    assert len(repetitions) == 8 + 2
    found = repetitions.due(60.0)
    assert {repeated.kind.origin for repeated in found} == {OTHERS}
    assert sum(repeated.count for repeated in found) == 10_000 - told


def test_what_is_quiet_is_forgotten_and_makes_room() -> None:
    repetitions: Repetitions[int] = Repetitions(max_kinds=2)
    for origin in ("a", "b", "c"):
        repetitions.passes(RepetitionKind(("x",), origin), ONE, 0, 0.0)
    assert len(repetitions) == 3
    assert repetitions.due(61.0) == []
    assert len(repetitions) == 0
    assert repetitions.passes(RepetitionKind(("x",), "d"), ONE, 0, 62.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 200)), max_size=80))
def test_the_sum_is_right_whatever_comes_when(events: list[tuple[str, float]]) -> None:
    repetitions: Repetitions[int] = Repetitions()
    now, told = 0.0, 0
    for name, wait in events:
        now += wait
        told += repetitions.passes(RepetitionKind((name,)), Quota(2, 45), 0, now)
        for repeated in repetitions.due(now):
            told += repeated.count
            repetitions.told(repeated)
    assert told + sum(repeated.count for repeated in repetitions.due(now, at_once=True)) == len(events)
