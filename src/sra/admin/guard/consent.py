"""Whether a key may be used now: by the rules, and by what the person has answered in this connection. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

from sra.admin.guard import key_rules as rules
from sra.admin.guard.key_rules import KeyRule, RuleAnswer, RuleVerdict
from sra.piv.keys import Slot
from sra.system import clock as clocks

PIN_COUNTS_FOR = 120.0
"""Seconds in which a PIN that the person gave on this side counts as a yes to the key use that it was asked for."""
PIN_COUNTS_WITH = Slot.AUTHENTICATION
"""The key that logs in, which is what a PIN is asked for: its question can't show what will be signed or decrypted."""


class Requirement(Enum):
    """What is needed before a key may be used."""

    NOTHING = auto()
    QUESTION = auto()
    NEVER = auto()


class Consent:
    """The answers of one connection."""

    def __init__(self, table: Sequence[KeyRule], remote: str, clock: Callable[[], float] = clocks.now) -> None:
        self._answers = rules.answers(table, remote)
        self._clock = clock
        self._granted: dict[Slot, float] = {}
        self._pin_given: float | None = None

    def pin_given(self) -> None:
        """The person gave the PIN on this side: that is a yes to the next use of a key, if that is a login's."""
        self._pin_given = self._clock()

    def granted(self, slot: Slot) -> None:
        """The person said yes."""
        self._granted[slot] = self._clock()

    def need(self, slot: Slot) -> Requirement:
        """What a use of this key needs now; a PIN that was given is used up, whatever the rules say."""
        pin_counts = self._take_pin() and slot is PIN_COUNTS_WITH
        answer = self._answers[slot]
        if answer.verdict is RuleVerdict.DENY:
            return Requirement.NEVER
        if answer.verdict is RuleVerdict.ALLOW:
            return Requirement.NOTHING
        if pin_counts:
            self.granted(slot)
            return Requirement.NOTHING
        return Requirement.NOTHING if self._is_granted(slot, answer) else Requirement.QUESTION

    def is_granted(self, slot: Slot) -> bool:
        """Whether an answer that the person gave meanwhile is about this use too."""
        return self._is_granted(slot, self._answers[slot])

    def _take_pin(self) -> bool:
        given, self._pin_given = self._pin_given, None
        return given is not None and self._clock() - given < PIN_COUNTS_FOR

    def _is_granted(self, slot: Slot, answer: RuleAnswer) -> bool:
        since = self._granted.get(slot)
        if since is None or answer.verdict is RuleVerdict.ASK:
            return False
        return answer.verdict is RuleVerdict.ASK_ONCE or self._clock() - since < answer.minutes * 60
