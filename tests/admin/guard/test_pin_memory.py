"""What is kept of the PIN, for how long, and what is recognised without the card."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.admin.guard.pin_memory import LONGEST_SLEEP, MAX_KNOWN_WRONG, PinMemory, Timer
from tests.admin.guard_scene import Clock

PIN = b"271828"
pin_bytes = st.binary(min_size=1, max_size=8).filter(lambda pin: not pin.endswith(b"\xff"))


def memory(keep: float) -> tuple[PinMemory, Clock]:
    clock = Clock()
    return PinMemory(keep, clock), clock


def test_it_is_kept_only_as_long_as_allowed() -> None:
    known, clock = memory(60)
    known.learn_right(PIN)
    clock.now += 59.9
    assert known.kept() == PIN
    clock.now += 0.1
    assert known.kept() is None
    clock.now -= 30
    assert known.kept() is None


def test_who_keeps_nothing_recognises_it_all_the_same() -> None:
    known, _ = memory(0)
    known.learn_right(PIN)
    assert known.kept() is None
    assert known.is_right(PIN) is True
    assert known.is_right(b"000000") is False
    assert PIN not in b"".join(_bytes_of(known))


def _bytes_of(known: PinMemory) -> list[bytes]:
    return [bytes(value) for value in vars(known).values() if isinstance(value, bytes | bytearray)]


def test_the_stricter_wish_wins() -> None:
    known, clock = memory(600)
    known.learn_right(PIN)
    known.limit(60)
    known.limit(3600)
    clock.now += 59
    assert known.kept() == PIN
    clock.now += 1
    assert known.kept() is None
    known.learn_right(PIN)
    clock.now += 60
    assert known.kept() is None


def test_a_limit_does_not_prolong_what_ends_sooner() -> None:
    known, clock = memory(60)
    known.learn_right(PIN)
    clock.now += 59
    known.limit(59)
    clock.now += 1
    assert known.kept() is None


def test_no_keeping_at_all_is_a_limit_too_and_ends_it_at_once() -> None:
    known, _ = memory(float("inf"))
    known.learn_right(PIN)
    known.limit(0)
    assert known.kept() is None
    known.learn_right(PIN)
    assert known.kept() is None


def test_what_is_not_known_can_not_be_told() -> None:
    known, _ = memory(60)
    assert known.is_right(PIN) is None
    assert not known.is_known_wrong(PIN)


def test_a_pin_that_the_card_refused_is_known_to_be_wrong() -> None:
    known, _ = memory(60)
    known.learn_wrong(b"000000")
    assert known.is_right(b"000000") is False
    assert known.is_known_wrong(b"000000")
    assert known.is_right(PIN) is None


def test_a_pin_that_was_wrong_may_become_right() -> None:
    known, _ = memory(60)
    known.learn_wrong(PIN)
    known.learn_right(PIN)
    assert known.is_right(PIN) is True
    assert not known.is_known_wrong(PIN)


def test_a_right_pin_that_the_card_refuses_now_is_forgotten() -> None:
    known, _ = memory(60)
    known.learn_right(PIN)
    known.learn_wrong(PIN)
    assert known.kept() is None
    assert known.is_right(PIN) is False
    assert known.is_right(b"314159") is None


@given(pin_bytes, pin_bytes)
def test_only_the_very_pin_is_right_padded_or_not(pin: bytes, other: bytes) -> None:
    known, _ = memory(0)
    known.learn_right(pin)
    assert known.is_right(pin.ljust(8, b"\xff")) is True
    assert known.is_right(other) is (pin == other)


def test_the_memory_for_wrong_pins_is_bounded_and_the_oldest_go_first() -> None:
    known, _ = memory(0)
    for number in range(MAX_KNOWN_WRONG + 3):
        known.learn_wrong(b"%06d" % number)
    assert len(known._wrong) == MAX_KNOWN_WRONG
    assert [known.is_known_wrong(b"%06d" % number) for number in range(4)] == [False] * 3 + [True]
    assert known.is_known_wrong(b"%06d" % (MAX_KNOWN_WRONG + 2))


class Loop:
    """A loop's timers, and a clock; while the machine sleeps the clock goes on and the timers don't."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self._slept = 0.0

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        entry = (self.clock.now - self._slept + delay, callback)
        self.timers.append(entry)
        return Cancelling(lambda: self.timers.remove(entry) if entry in self.timers else None)

    def sleep(self, seconds: float) -> None:
        self._slept += seconds
        self.clock.now += seconds

    def go_on(self, seconds: float) -> None:
        end = self.clock.now + seconds
        while due := [entry for entry in self.timers if entry[0] + self._slept <= end]:
            entry = min(due, key=lambda each: each[0])
            self.timers.remove(entry)
            self.clock.now = entry[0] + self._slept
            entry[1]()
        self.clock.now = end


@dataclass(frozen=True)
class Cancelling:
    cancel: Callable[[], None]


def test_it_is_overwritten_when_its_time_is_over_though_nobody_asks_for_it() -> None:
    loop = Loop()
    known = PinMemory(100, loop.clock, loop.call_later)
    known.learn_right(PIN)
    buffer = known._pin
    loop.go_on(99.9)
    assert bytes(buffer) == PIN
    loop.go_on(0.1)
    assert bytes(buffer) == bytes(len(PIN))
    assert loop.timers == []
    assert known.is_right(PIN) is True


def test_the_time_for_which_the_machine_sleeps_counts() -> None:
    loop = Loop()
    known = PinMemory(3600, loop.clock, loop.call_later)
    known.learn_right(PIN)
    buffer = known._pin
    loop.go_on(10)
    loop.sleep(3600)
    loop.go_on(LONGEST_SLEEP)
    assert bytes(buffer) == bytes(len(PIN))


def test_a_stricter_limit_overwrites_it_sooner() -> None:
    loop = Loop()
    known = PinMemory(3600, loop.clock, loop.call_later)
    known.learn_right(PIN)
    buffer = known._pin
    known.limit(5)
    loop.go_on(5)
    assert bytes(buffer) == bytes(len(PIN))
    known.learn_right(PIN)
    buffer = known._pin
    known.limit(0)
    assert bytes(buffer) == bytes(len(PIN))
    assert loop.timers == []


def test_one_that_is_given_again_has_its_time_anew_and_there_is_one_timer() -> None:
    loop = Loop()
    known = PinMemory(20, loop.clock, loop.call_later)
    for _ in range(5):
        known.learn_right(PIN)
        loop.go_on(15)
        assert known.kept() == PIN
        assert len(loop.timers) == 1


@pytest.mark.parametrize("end", ["forget", "learn_right", "kept"])
def test_what_is_forgotten_is_overwritten(end: str) -> None:
    known, clock = memory(60)
    known.learn_right(PIN)
    buffer = known._pin
    assert bytes(buffer) == PIN
    clock.now += 100
    if end == "learn_right":
        known.learn_right(b"314159")
    else:
        getattr(known, end)()
    assert bytes(buffer) == bytes(len(PIN))
    assert known.kept() != PIN


def test_what_is_forgotten_is_not_recognised_either() -> None:
    known, _ = memory(60)
    known.learn_right(PIN)
    known.forget()
    assert known.is_right(PIN) is None


def test_pins_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    true_compare = hmac.compare_digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return true_compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    known, _ = memory(60)
    for number in range(5):
        known.learn_wrong(b"%06d" % number)
    known.is_known_wrong(b"000000")
    first, known_wrong = len(compared), 5
    assert first == known_wrong, "the search goes on after it has found the PIN"
    known.learn_right(PIN)
    known.is_right(PIN)
    known.is_right(b"1")
    assert set(compared) == {(32, 32)}


def test_two_memories_have_nothing_in_common() -> None:
    digests = set()
    for _ in range(2):
        known, _clock = memory(0)
        known.learn_right(PIN)
        digests.add(known._right)
    assert len(digests) == 2
