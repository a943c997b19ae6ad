"""What this side knows of the card's PIN during a session, in memory only.

The PIN itself is kept only where the person allowed it, and for as long; what stays is a keyed hash, by which a PIN
that is typed on the remote is recognised without costing the card a try.
"""

from __future__ import annotations

import ctypes
import hmac
import secrets
from collections.abc import Callable
from typing import Protocol

from sra.piv.keys import MAX_PIN
from sra.system import clock as clocks

LONGEST_SLEEP = 30.0
"""Seconds between looks at the clock: a timer stands still while the machine sleeps, and the time does not."""
MAX_KNOWN_WRONG = 64
"""Wrong PINs remembered; past that the oldest are forgotten, and may cost a try again where forwarding is allowed."""


class Timer(Protocol):
    """What ``loop.call_later`` gives."""

    def cancel(self) -> None:
        """Don't call any more."""


class PinMemory:
    """The PIN of one card, as far as it is known.

    ``call_later`` (an event loop's) has the PIN overwritten when its time is over; without it, when it is asked for.
    """

    def __init__(
        self,
        keep_seconds: float,
        clock: Callable[[], float] = clocks.now,
        call_later: Callable[[float, Callable[[], None]], Timer] | None = None,
    ) -> None:
        self._keep = keep_seconds
        self._clock = clock
        self._call_later = call_later
        self._timer: Timer | None = None
        self._key = secrets.token_bytes(32)
        self._pin = bytearray()
        self._kept_until = 0.0
        self._right: bytes | None = None
        self._wrong: dict[bytes, None] = {}

    def limit(self, keep_seconds: float) -> None:
        """Keep the PIN no longer than this, from now on: the stricter of two wishes wins."""
        self._keep = min(self._keep, keep_seconds)
        self._kept_until = min(self._kept_until, self._clock() + self._keep)
        self._end_in_time()

    def learn_right(self, pin: bytes) -> None:
        """The card has said that this is the PIN."""
        self._overwrite()
        self._right = self._digest(pin)
        self._wrong.pop(self._right, None)
        if self._keep > 0:
            self._pin = _locked(pin)
            self._kept_until = self._clock() + self._keep
            self._end_in_time()

    def learn_wrong(self, pin: bytes) -> None:
        """The card has said that this is not the PIN."""
        digest = self._digest(pin)
        self._wrong[digest] = None
        while len(self._wrong) > MAX_KNOWN_WRONG:
            del self._wrong[next(iter(self._wrong))]
        if self._right is not None and hmac.compare_digest(digest, self._right):
            self.forget()  # it was changed meanwhile

    def kept(self) -> bytes | None:
        """The PIN, while it may be kept."""
        if self._pin and self._clock() >= self._kept_until:
            self._overwrite()
        return bytes(self._pin) or None

    def _end_in_time(self) -> None:
        """Overwrite the PIN when its time is over, and see to it until then."""
        if self._timer is not None:
            self._timer.cancel()
        if self.kept() is not None and self._call_later is not None:
            self._timer = self._call_later(min(self._kept_until - self._clock(), LONGEST_SLEEP), self._end_in_time)

    def is_right(self, pin: bytes) -> bool | None:
        """Whether it is the PIN, in constant time; ``None`` if that can't be told without asking the card."""
        if self._right is not None:
            return hmac.compare_digest(self._digest(pin), self._right)
        return False if self.is_known_wrong(pin) else None

    def is_known_wrong(self, pin: bytes) -> bool:
        """Whether the card has refused this PIN before. A person may have changed it since: only that is sure."""
        digest = self._digest(pin)
        return sum(hmac.compare_digest(digest, wrong) for wrong in self._wrong) > 0

    def forget(self) -> None:
        """Overwrite everything (Python may have made copies that can't be reached)."""
        self._overwrite()
        self._right = None

    def _overwrite(self) -> None:
        _unlock(self._pin)
        self._pin = bytearray()
        self._kept_until = 0.0

    def _digest(self, pin: bytes) -> bytes:
        return hmac.digest(self._key, pin.ljust(MAX_PIN, b"\xff"), "sha256")


def _locked(secret: bytes) -> bytearray:
    """A copy that is not swapped out, where the system lets us say so."""
    buffer = bytearray(secret)
    _mlock("mlock", buffer)
    return buffer


def _unlock(buffer: bytearray) -> None:
    if buffer:
        buffer[:] = bytes(len(buffer))
        _mlock("munlock", buffer)


def _mlock(name: str, buffer: bytearray) -> None:
    """Best effort: without it the PIN is as safe as the swap is."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        function(ctypes.c_void_p(address), ctypes.c_size_t(len(buffer)))
