"""What the guard costs a key use: ``python -m benchmarks.guard``.

Everything between a question of the remote and its answer but the card itself: the rate, the review of the block, the
rules, the consent, the queue for the card, and the record in the audit log on a real disk.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sra.admin.audit_trail import AuditTrail
from sra.admin.events import Event
from sra.admin.guard.guard import Guard
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.lending import GuardSettings, LendingState, LentCard, PauseSwitch
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import Person
from sra.admin.guard.rate import MAX_RATE
from sra.audit import Audit
from sra.cards.base import Card
from sra.piv.keys import Algorithm, KeyDescription, KeyReply, KeyRequest, Operation, PinPolicy, PinRequest, Slot
from sra.piv.objects import CardContents

RUNS = 2000
RULES = 20
MANY_RULES = 1000
"""As many as a file may have."""
TARGET_MS = 0.2
"""Half of the uses take at most that; beside it the fastest card takes 24 ms."""

_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_PIN = b"123456"


@dataclass(frozen=True)
class Outcome:
    """Milliseconds: half of the uses took at most ``p50``, 99 of 100 at most ``p99``; and two more of each.

    ``unrecorded`` is without the audit log, ``many`` with it and as many rules as there may be.
    """

    p50: float
    p99: float
    unrecorded_p50: float
    unrecorded_p99: float
    many_p50: float
    many_p99: float

    def __str__(self) -> str:
        """The rows of a table in Markdown."""
        recorded = _judged("the guard, and its record", self.p50, self.p99)
        return "\n".join(
            (
                f"| a key use at the admin's, but the card ({RULES} rules) | p50 ms | p99 ms | target | verdict |",
                "|---|---:|---:|---|---|",
                recorded,
                _judged(f"with {MANY_RULES:,} rules", self.many_p50, self.many_p99),
                f"| without the audit log | {self.unrecorded_p50:.3f} | {self.unrecorded_p99:.3f} | | |",
            )
        )


def _judged(name: str, p50: float, p99: float) -> str:
    verdict = "met" if p50 <= TARGET_MS else "not met"
    return f"| {name} | {p50:.3f} | {p99:.3f} | p50 ≤ {TARGET_MS:g} | {verdict} |"


class _NoCard:
    """A card that takes no time."""

    name = "none"
    has_pin_pad = False
    contents = CardContents({}, ())

    async def use_key(self, request: KeyRequest) -> KeyReply:
        return KeyReply(request.input)


class _Unseen:
    """Nobody watches."""

    def notice(self, event: Event) -> None:
        """Show nothing."""


def measure(runs: int = RUNS) -> Outcome:
    """Have a key used so many times, with and without the audit log."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        trail = AuditTrail(Audit(Path(folder) / "audit.jsonl").record, "remote", _Unseen())
        recorded = asyncio.run(_measure(trail, runs))
        many = asyncio.run(_measure(trail, runs, MANY_RULES))
    unrecorded = asyncio.run(_measure(_Unseen(), runs))
    return Outcome(recorded[49], recorded[98], unrecorded[49], unrecorded[98], many[49], many[98])


async def _measure(watcher: AuditTrail | _Unseen, runs: int, rules: int = RULES) -> list[float]:
    """The 99 percentiles, in milliseconds. The guard's clock leaps, or it would find that this asks too often."""
    now = 0.0

    def clock() -> float:
        return now

    lending = LendingState(_lender(watcher, clock, rules), "remote.example.com", "ann")
    guard = Guard(lending, (KeyDescription(Slot.AUTHENTICATION, Algorithm.RSA_2048, PinPolicy.ONCE),))
    await guard.answer(PinRequest(_PIN))
    request = _request()
    taken = []
    for _ in range(runs):
        now += 2 / MAX_RATE
        start = time.perf_counter()
        await guard.answer(request)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.quantiles(taken, n=100)


def _lender(watcher: AuditTrail | _Unseen, clock: Callable[[], float], count: int) -> LentCard:
    others = tuple(KeyRule(f"*.other{number}.example.com", ("9A",), "deny") for number in range(count - 1))
    rules = (*others, KeyRule("*.example.com", ("9A",), "allow"))
    memory = PinMemory(0)
    memory.learn_right(_PIN)
    terms = GuardSettings(PinEntry.FORWARD, rules)
    return LentCard(
        cast("Card", _NoCard()), cast("Person", None), watcher, terms, memory, PauseSwitch(watcher), clock=clock
    )


def _request() -> KeyRequest:
    content = _SHA256_INFO + bytes(32)
    block = b"\x00\x01" + b"\xff" * (256 - len(content) - 3) + b"\x00" + content
    return KeyRequest(Slot.AUTHENTICATION, Algorithm.RSA_2048, Operation.SIGN, block)


if __name__ == "__main__":
    print(measure())
