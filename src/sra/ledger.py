"""What goes into which audit log, and what is only counted: evidence that another machine can't wash away.

There are two logs, each with a chain and a size of its own. ``audit.jsonl`` has what users decided, what keys did and
which admins were let in. ``audit-refusals.jsonl`` has what was refused, which costs the asker nothing and which any
machine can have, and the numbers of what was not written one by one. So a flood of refusals displaces nothing but older
refusals, and few of those, since repetitions are counted.

The first of a kind is written at once, a number within about a minute: what a process that is killed had counted since
then is lost, and the chains stay whole.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sra.audit import Audit, AuditError, Bounds, Fact
from sra.repetitions import MAX_KINDS, Quota, RepetitionKind, Repetitions

REFUSAL_FILES = 4
"""Full files of refusals that are kept: 80 MiB with the one being written."""
MAX_CARDS = 256
"""Cards whose events are counted apart at a time."""

ALL = Bounds()
"""What is kept of each log; of refusals not more than ``REFUSAL_FILES`` full files."""

ONCE_A_MINUTE = Quota(1, 60)
"""For what costs the asker nothing."""
BY_PEOPLE = Quota(120, 120)
"""For what a user or a paired card does: a long burst, then 720 a day, 1.1 MB with all its events."""
BY_KEYS = Quota(10_000, 8.64)
"""For uses of a key: what the guard lets one connection have, at once and a day; 5 MB a day."""


@dataclass(frozen=True)
class EventRule:
    """Where an event goes, how many of it are written, and by which of its facts kinds are told apart.

    ``weight`` names a fact that is a number already, and is added up instead of counted.

    ``by`` names facts whose values are this program's own words; ``origin`` one that comes from outside: a card's key
    (of certificates its holder can make any number), or an address, of which the network counts.
    """

    quota: Quota
    is_refusal: bool = False
    by: tuple[str, ...] = ()
    origin: str = ""
    weight: str = ""


Facts = Mapping[str, Fact]
ChooseRule = Callable[[str, Facts], EventRule]
"""The rule for an event with these facts."""


@dataclass(frozen=True)
class _Told:
    event: str
    facts: Facts
    weight: str

    @property
    def number(self) -> int:
        """How many it is, where it is a number already."""
        number = self.facts.get(self.weight)
        return number if isinstance(number, int) else 1


class Ledger:
    """Writes events down, and numbers of those of which there are too many. Several threads may use it."""

    def __init__(
        self, path: Path, sorting: ChooseRule, now: Callable[[], float] = time.monotonic, bounds: Bounds = ALL
    ) -> None:
        self._sorting = sorting
        self._now = now
        self._kept = Audit(path, bounds)
        self._refusals = Audit(refusals_path(path), Bounds(bounds.file_size, min(bounds.full_files, REFUSAL_FILES)))
        self._of_kept: Repetitions[_Told] = Repetitions(MAX_CARDS)
        self._of_refusals: Repetitions[_Told] = Repetitions(MAX_KINDS)
        self._lock = threading.Lock()

    def record(self, event: str, /, **facts: Fact) -> None:
        """Write the event down, or count it; raise ``AuditError`` if it can't be written."""
        rule = self._sorting(event, facts)
        repetitions = self._of_refusals if rule.is_refusal else self._of_kept
        told = _Told(event, facts, rule.weight)
        with self._lock:
            passes = repetitions.passes(_kind(event, facts, rule), rule.quota, told, self._now(), told.number)
        if passes:
            (self._refusals if rule.is_refusal else self._kept).record(event, **facts)
        with suppress(AuditError):  # this event is recorded; the callers of ``write_counts`` are told of the numbers
            self.write_counts()

    def write_counts(self, *, at_once: bool = False) -> None:
        """Write the numbers that are due; a number that can't be written is kept, and ``AuditError`` raised.

        A number stands beside the facts of the latest of those that it counts.
        """
        with self._lock:
            for repetitions in (self._of_kept, self._of_refusals):
                for repeated in repetitions.due(self._now(), at_once=at_once):
                    latest = repeated.latest
                    number = {latest.weight or "repeated": repeated.count}
                    self._refusals.record(latest.event, **{**latest.facts, **number})
                    repetitions.told(repeated)


def refusals_path(path: Path) -> Path:
    """The log of refusals that belongs to the audit log at ``path``."""
    return path.with_name(f"{path.stem}-refusals{path.suffix}")


def _kind(event: str, facts: Facts, rule: EventRule) -> RepetitionKind:
    family = (event, *(str(facts.get(name, "")) for name in rule.by))
    return RepetitionKind(family, network(str(facts.get(rule.origin, ""))) if rule.origin else "")


def network(origin: str) -> str:
    """The network that an address belongs to, /24 or /64: one host has all of it; anything else is itself."""
    try:
        address = ipaddress.ip_address(origin.partition("%")[0])
    except ValueError:
        return origin
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))
