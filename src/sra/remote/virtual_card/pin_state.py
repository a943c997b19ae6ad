"""What the virtual card remembers of the PIN."""

from __future__ import annotations

import math
from collections.abc import Callable

from sra.piv.apdu import Status, StatusError
from sra.piv.keys import PinOutcome, PinPolicy, PinReply

ATTEMPTS_AT_FIRST = 3
"""Tries told to a program that asks before any PIN was checked; the true number comes with the first reply."""

_MOST_ATTEMPTS = 15
"""What fits into 63Cx."""


class PinState:
    """Whether the PIN is verified, for how long, and how many tries are left.

    All local programs share one card, so a verified PIN is forgotten ``idle`` seconds (of ``clock``) after it was last
    needed, and a key that wants the PIN each time takes one that no key was used with since; with ``every_use`` all
    keys that want a PIN do.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        idle: float,
        attempts_remaining: int = ATTEMPTS_AT_FIRST,
        *,
        every_use: bool = False,
    ) -> None:
        self.attempts_remaining = attempts_remaining
        self._every_use = every_use
        self._clock = clock
        self._idle = idle
        self._verified_until = -math.inf
        self._is_fresh = False

    @property
    def is_verified(self) -> bool:
        """Whether a key that wants the PIN once may be used now."""
        return self._clock() < self._verified_until

    def remember(self, reply: PinReply) -> None:
        """Take in how a PIN question ended."""
        verified = reply.outcome is PinOutcome.VERIFIED
        self.attempts_remaining = min(max(reply.attempts_remaining, 0), _MOST_ATTEMPTS)
        self._is_fresh = verified
        self._verified_until = self._clock() + self._idle if verified else -math.inf

    def forget(self) -> None:
        """Be as if the PIN had not been verified."""
        self._is_fresh = False
        self._verified_until = -math.inf

    def use_for(self, policy: PinPolicy) -> None:
        """Note the use of a key; raise ``StatusError`` 6982 if the PIN has to be verified before."""
        fresh, self._is_fresh = self._is_fresh, False
        allowed = {
            PinPolicy.NEVER: True,
            PinPolicy.ONCE: self.is_verified and (fresh or not self._every_use),
            PinPolicy.ALWAYS: self.is_verified and fresh,
        }
        if not allowed[policy]:
            raise StatusError(Status.SECURITY_NOT_SATISFIED)
        if policy is not PinPolicy.NEVER:
            self._verified_until = self._clock() + self._idle
