"""What ours has to beat: at most so many round trips, the card's own time, and a constant."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measure import Cell, Operation, Results

JUDGED_RTT_MS = 100.0
"""The round-trip time at which targets are shown."""

TYPED_PIN = "ours"
"""Ours, with the PIN typed on the remote; the admin's machine checks it."""

PIN_PAD = "ours, PIN pad"
"""Ours, with the PIN asked on the admin's machine."""

OUR_CARD = "software card"
"""The card of ours, as the card times name it."""


@dataclass(frozen=True)
class Target:
    """At most ``round_trips`` R + ``card_uses`` C + ``constant_ms``."""

    round_trips: float
    card_uses: int
    constant_ms: float

    def limit_ms(self, rtt_ms: float, card_ms: float) -> float:
        """The limit in milliseconds."""
        return self.round_trips * rtt_ms + self.card_uses * card_ms + self.constant_ms

    def __str__(self) -> str:
        """The formula."""
        parts = [f"{self.round_trips:g}R", "C" if self.card_uses else "", f"{self.constant_ms:g} ms"]
        return " + ".join(part for part in parts if part)


TARGETS: dict[tuple[Operation, str], Target] = {
    (Operation.CONNECT, TYPED_PIN): Target(4, 1, 10),
    (Operation.LIST, TYPED_PIN): Target(0, 0, 50),
    (Operation.SIGN, TYPED_PIN): Target(2, 1, 50),
    (Operation.SIGN, PIN_PAD): Target(2, 1, 50),
    (Operation.PAM, TYPED_PIN): Target(2, 1, 60),
    (Operation.PAM, PIN_PAD): Target(2, 1, 60),
    (Operation.STEADY, TYPED_PIN): Target(1, 1, 3),
    (Operation.INSERTION, TYPED_PIN): Target(0.5, 0, 5),
    (Operation.REMOVAL, TYPED_PIN): Target(0.5, 0, 5),
    (Operation.EJECTION, TYPED_PIN): Target(0.5, 0, 50),
    (Operation.PAUSE, PIN_PAD): Target(0.5, 0, 50),
}
"""The PIN is checked on the admin's side, however it is given: one round trip; the signature is another."""


def card_ms(cell: Cell, results: Results) -> float:
    """The own time of the software card that ours used in this cell; 0 if it was not measured."""
    wanted = (OUR_CARD, cell.kind)
    return next((time.milliseconds for time in results.card_times if (time.card, time.kind) == wanted), 0.0)


def round_trip_ms(rtt_ms: float, results: Results) -> float:
    """What a round trip really took; what it should take if that was not measured."""
    return next((time.milliseconds for time in results.link_times if time.rtt_ms == rtt_ms), rtt_ms)


def limit_ms(cell: Cell, results: Results) -> float | None:
    """The most that this cell may take, or ``None`` if there is no target for it."""
    target = TARGETS.get((cell.operation, cell.path))
    if target is None:
        return None
    return target.limit_ms(round_trip_ms(cell.rtt_ms, results), card_ms(cell, results))


def is_met(cell: Cell, results: Results) -> bool | None:
    """Whether the cell keeps to its target, or ``None`` if it has none."""
    limit = limit_ms(cell, results)
    return None if limit is None else cell.median_ms <= limit
