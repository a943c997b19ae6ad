"""Which key a remote may use, and when the person is asked: a table of rules, the first that fits decides. No I/O.

A rule names remotes by a pattern (``*.example.com``; ``*`` and ``?`` are all that is special), keys by their slots, and
an answer. Where no rule of the person's fits, the defaults decide: what needs the PIN asks once for the connection, a
signature with 9C every time.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec

from sra.errors import UsageError
from sra.paths import DEFAULT_PORT
from sra.piv.keys import Slot

MAX_RULES = 1000
MAX_MINUTES = 24 * 60
"""A day: who wants to be asked less often than that wants ``allow``."""


class RuleVerdict(StrEnum):
    """What a rule says."""

    ASK = "ask"
    ASK_ONCE = "ask once"
    ASK_EVERY = "ask every"
    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True)
class RuleAnswer:
    """A verdict; ``minutes`` are those of ``ASK_EVERY``."""

    verdict: RuleVerdict
    minutes: int = 0

    def __str__(self) -> str:
        """As it is written in the file."""
        return f"ask every {self.minutes} minutes" if self.verdict is RuleVerdict.ASK_EVERY else str(self.verdict)


_EVERY = re.compile(r"ask every (\d{1,4}) minutes?")


def parse_answer(text: str) -> RuleAnswer:
    """The answer that a rule's text means; raise ``ValueError``."""
    every = _EVERY.fullmatch(text)
    if every and 1 <= int(every[1]) <= MAX_MINUTES:
        return RuleAnswer(RuleVerdict.ASK_EVERY, int(every[1]))
    if every or text == RuleVerdict.ASK_EVERY or text not in list(RuleVerdict):
        raise ValueError("an answer is ask, ask once, ask every N minutes (1 to 1440), allow or deny")
    return RuleAnswer(RuleVerdict(text))


def parse_slots(text: str) -> frozenset[Slot]:
    """The slots that ``9A``, ``82`` or ``retired`` means; raise ``ValueError``."""
    if text.lower() == "retired":
        return frozenset(slot for slot in Slot if slot.is_retired)
    try:
        return frozenset({Slot(int(text, 16))})
    except ValueError:
        raise ValueError("a key is 9A, 9C, 9D, 9E, 82 to 95, or retired for all of the latter") from None


_USUAL_PORT = re.compile(rf"\[([^\[\]]*)\](?::{DEFAULT_PORT})?|([^:]*):{DEFAULT_PORT}")


def plain(remote: str) -> str:
    """A remote's name, or a pattern of names, as it is compared: without the usual port, and without case.

    An IPv6 address is in brackets only where another port follows.
    """
    match = _USUAL_PORT.fullmatch(remote)
    return (match[1] or match[2] if match else remote).lower()


class KeyRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule as it stands in the file: ``keys`` are slots such as ``9A``, or ``retired``."""

    remote: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    keys: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)]
    answer: Annotated[str, msgspec.Meta(max_length=64)]

    def __post_init__(self) -> None:
        """Refuse what could never be meant; msgspec tells where it stands."""
        parse_answer(self.answer)
        for key in self.keys:
            parse_slots(key)

    def names(self, remote: str) -> bool:
        """Whether the rule is about this remote."""
        return fnmatch.fnmatchcase(plain(remote), plain(self.remote).replace("[", "[[]"))


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``rules.toml``."""

    rule: Annotated[tuple[KeyRule, ...], msgspec.Meta(max_length=MAX_RULES)] = ()


DEFAULTS = (
    KeyRule("*", ("9A", "9D", "retired"), str(RuleVerdict.ASK_ONCE)),
    KeyRule("*", ("9C",), str(RuleVerdict.ASK)),
    KeyRule("*", ("9E",), str(RuleVerdict.ASK_ONCE)),
)
"""9E answers without a PIN, so it is inserted only when the person names it (``--slots``), and asked about too."""


def answers(rules: Sequence[KeyRule], remote: str) -> dict[Slot, RuleAnswer]:
    """What the first rule that fits says of each key on this remote, the person's before the defaults.

    For a whole connection: a thousand rules take far longer to read than one use of a key may.
    """
    found = dict.fromkeys(Slot, RuleAnswer(RuleVerdict.DENY))
    for rule in reversed((*rules, *DEFAULTS)):
        if rule.names(remote):
            answer = parse_answer(rule.answer)
            found |= {slot: answer for key in rule.keys for slot in parse_slots(key)}
    return found


def decide(rules: Sequence[KeyRule], remote: str, slot: Slot) -> RuleAnswer:
    """The answer of the first rule that fits this key on this remote."""
    return answers(rules, remote)[slot]


def parse_file(data: bytes, name: str) -> tuple[KeyRule, ...]:
    """The rules in a file; raise ``UsageError`` naming what is wrong with it."""
    try:
        return msgspec.toml.decode(data, type=RuleFile).rule
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{name}: {error}. Correct it; until then nothing is allowed.") from error
