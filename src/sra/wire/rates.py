"""How often a peer may say each kind of message: one table, for both directions and both ports.

A bucket holds ``burst`` messages and is filled again by ``per_second``. What finds it empty is *excess*: a notice is
dropped, and a question is refused late, before anything was done for either. The bucket goes on into debt, and a peer
that owes ``ENDURED`` bursts floods: that ends the connection, so that a flood costs a bounded number of messages.

The sender keeps the same table for its notices, so that a local program that makes a machine say too much costs that
machine words and never its connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sra.errors import ProtocolError, RefusalCode
from sra.piv.keys import KeyReply, KeyRequest, PinReply, PinRequest
from sra.wire import messages
from sra.wire.messages import ANSWERS, Message, NoScreen, Refusal

ENDURED = 10
"""Bursts that a peer may say too much before it floods: clocks differ, and a link delivers in lumps."""

LATE = 1.0
"""Seconds before a question that came too fast is refused. At most 64 may be open, so no more than that in a second."""


@dataclass(frozen=True, order=True)
class Rate:
    """So many at once, and so many a second for long."""

    burst: int
    per_second: float


class Bound(Enum):
    """What bounds the other kinds already."""

    STATES = 1
    """The table of states: it may be said once, and then something else has to be."""
    QUESTIONS = 2
    """It answers a question of ours: there are as many as we asked."""


RATES: dict[type[Message], Rate | Bound] = {
    messages.Hello: Bound.STATES,
    messages.Challenge: Bound.STATES,
    messages.Proof: Bound.STATES,
    messages.Welcome: Bound.STATES,
    messages.Goodbye: Bound.STATES,
    messages.Attach: Bound.STATES,
    messages.Attached: Bound.STATES,
    messages.Refusal: Bound.QUESTIONS,
    messages.CardInserted: Bound.QUESTIONS,
    messages.ScreenGrant: Bound.QUESTIONS,
    messages.NoScreen: Bound.QUESTIONS,
    KeyReply: Bound.QUESTIONS,
    PinReply: Bound.QUESTIONS,
    messages.Pong: Bound.QUESTIONS,
    # A person inserts and ejects by hand, or a program after a reader that failed: then every half second. An ejection
    # follows an insertion, and is never dropped: a card that is out is out.
    messages.InsertCard: Rate(100, 2),
    messages.EjectCard: Bound.STATES,
    # After a log-out the screen is asked for three times a second, for a minute.
    messages.ScreenRequest: Rate(300, 1),
    # The guard has a rate of its own, of 50 a second, and tells the user: this is only against work.
    KeyRequest: Rate(1000, 100),
    PinRequest: Rate(1000, 100),
    # As many as the questions that they take back.
    messages.Cancel: Rate(1000, 100),
    # A login says one; a user reads no two in a second.
    messages.Remark: Rate(20, 2),
    # After 2.5 s of silence. Those beyond the rate get no answer, and 64 of them end the connection.
    messages.Ping: Rate(50, 2),
}
"""Every kind of message has its entry; a test says so."""


class FloodError(ProtocolError):
    """The peer said far more than it may."""


class Bucket:
    """What is left of a rate. No I/O: the time is passed in, in seconds that never go back."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._left = float(rate.burst)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more is within the rate; one that is not costs nothing."""
        self._fill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def owe(self, now: float) -> bool:
        """The same for what was said already, so that it counts; ``FloodError`` if it is too much by far."""
        self._fill(now)
        self._left -= 1
        if self._left < -ENDURED * self._rate.burst:
            raise FloodError("The other side says far more than it may.")
        return self._left >= 0

    def _fill(self, now: float) -> None:
        passed = now - self._at if self._at is not None else 0.0
        self._at = now
        self._left = min(self._rate.burst, self._left + passed * self._rate.per_second)


class MessageMeter:
    """The buckets of one end of a connection, one for each kind of message that has a rate."""

    def __init__(self) -> None:
        self._buckets = {kind: Bucket(rate) for kind, rate in RATES.items() if isinstance(rate, Rate)}

    def heard(self, kind: type[Message], now: float) -> bool:
        """Whether what the peer said is within its rate; raises ``FloodError`` if it is too much by far."""
        bucket = self._buckets.get(kind)
        return bucket is None or bucket.owe(now)

    def may_say(self, kind: type[Message], now: float) -> bool:
        """Whether this end may say one more."""
        bucket = self._buckets.get(kind)
        return bucket is None or bucket.take(now)


def refusal_to(question: Message) -> Message:
    """What answers a question that came too fast."""
    text = "This was asked too often; try again in a moment."
    if Refusal in ANSWERS[type(question)]:
        return Refusal(RefusalCode.BUSY, text)
    return NoScreen(RefusalCode.BUSY, text)


def table() -> str:
    """The rates as a table for docs/wire-protocol.md."""
    rated = sorted((kind.__name__, rate) for kind, rate in RATES.items() if isinstance(rate, Rate))
    return "\n".join(f"| {name} | {rate.burst} | {rate.per_second} |" for name, rate in rated)


if __name__ == "__main__":
    print(table())
