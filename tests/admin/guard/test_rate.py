"""How many requests there may be in a second, and when a flood is over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sra.admin.guard.rate import MAX_RATE, RATE_PERIOD, UseMeter


def test_so_many_in_a_second_are_admitted_and_more_when_it_is_over() -> None:
    meter = UseMeter()
    assert all(meter.admits(5.0) for _ in range(MAX_RATE))
    assert not meter.admits(5.0)
    assert not meter.admits(5.99)
    assert meter.admits(5.0 + RATE_PERIOD)


def test_a_flood_is_over_when_none_was_refused_for_a_second() -> None:
    meter = UseMeter()
    for _ in range(MAX_RATE):
        meter.admits(0)
    assert not meter.flood_is_over(100)
    meter.admits(0.5)
    meter.admits(0.75)
    assert not meter.flood_is_over(1.625)
    assert meter.flood_is_over(1.75)
    assert meter.take_refused() == 2
    assert not meter.flood_is_over(100)
    assert meter.take_refused() == 0


@given(st.lists(st.floats(0, 0.2), max_size=300))
def test_no_second_has_more_than_so_many_and_each_is_admitted_or_counted(pauses: list[float]) -> None:
    meter, now, admitted = UseMeter(), 0.0, []
    for pause in pauses:
        now += pause
        if meter.admits(now):
            admitted.append(now)
    assert len(admitted) + meter.refused == len(pauses)
    for begin in admitted:
        assert sum(begin <= time < begin + RATE_PERIOD for time in admitted) <= MAX_RATE
