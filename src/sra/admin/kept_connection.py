"""Stay connected: hold the card in the remote's reader, and come back after a link that broke."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from sra.admin.events import Ejected, LinkLost, Watcher
from sra.admin.session import AdminSession
from sra.errors import LinkError, RefusalCode, RefusedError
from sra.piv.keys import Slot
from sra.system import clock
from sra.system.processes import first_of
from sra.wire.messages import NO_LIMITS, SessionLimits

FIRST_WAIT = 0.5
"""Seconds before the first new try."""
LONGEST_WAIT = 15.0
"""Seconds between tries, when they have failed for long."""
LONGEST_SLEEP = 30.0
"""Seconds between looks at the limits: a clock that was asleep with its machine is noticed soon."""
_NEVER = float("inf")
_PASSING = (RefusalCode.NO_READER, RefusalCode.BUSY, RefusalCode.TIMEOUT)
"""Refusals that may be over soon."""

Dial = Callable[[float], Awaitable[AdminSession]]
"""Connect, after a link was away for so many seconds (0 at first)."""


@dataclass(frozen=True)
class ConnectionSettings:
    """What the person wants of the connection. ``idle`` and ``total`` are seconds, 0 for no limit.

    Both count on from one link to the next: who can break a link gains nothing by it.
    """

    slots: Collection[Slot]
    reconnect: bool = True
    idle: float = 0
    total: float = 0


class KeptConnection:
    """Connects, inserts, and holds until the person ends it or an error says why it is over."""

    def __init__(
        self, dial: Dial, wishes: ConnectionSettings, watcher: Watcher, now: Callable[[], float] = clock.now
    ) -> None:
        self.session: AdminSession | None = None
        self._now = now
        self._begun = self._last_use = 0.0
        self._dial = dial
        self._wishes = wishes
        self._watcher = watcher
        self._wanted = asyncio.Event()
        self._wanted.set()

    async def run(self) -> None:
        """Stay until cancelled, or an error ends it.

        The first connection and the first insertion have to work; after them a broken link is tried again for ever,
        unless the person or the remote wants it otherwise.
        """
        self.session = await self._dial(0)
        self._begun = self._now()
        patient = False
        while True:
            slept = self._slept()
            try:
                await self._hold_within_limits(self.session, patient=patient)
            except LinkError as error:
                if not self._wishes.reconnect or self.session.is_final:
                    raise
                self._watcher.notice(LinkLost(str(error), FIRST_WAIT))
            finally:
                session, self.session = self.session, None
                self._last_use = session.lending.last_use
                await session.close("The admin disconnected.")
            self.session = await self._dial_again(self._slept() - slept)
            self.session.lending.last_use = self._last_use
            patient = True

    async def eject(self) -> None:
        """Take the card out of the remote's reader and leave it out, connected, until ``insert``."""
        self._wanted.clear()
        if self.session is not None:
            reason = "The person ejected the card."
            await self.session.eject(reason)
            self._watcher.notice(Ejected(reason, wished=True))

    def insert(self) -> None:
        """Have the card inserted again."""
        self._wanted.set()

    async def _hold_within_limits(self, session: AdminSession, *, patient: bool) -> None:
        """Hold; end the connection when this side's or the remote's limit is reached, whichever is stricter."""
        works = (self._hold(session, patient=patient), self._reach_limit(session))
        async with first_of(*works, until_all_ended=True) as (holding, limits):
            await (limits if limits.done() else holding)

    async def _reach_limit(self, session: AdminSession) -> None:
        """Raise ``RefusedError`` when the connection has been idle, or been there, for as long as it may."""
        connected = self._now()
        while True:
            seconds = self._time_left(session.limits, session.lending.last_use, connected)
            await asyncio.sleep(min(seconds, LONGEST_SLEEP))

    def _time_left(self, limits: SessionLimits, last_use: float, connected: float) -> float:
        """Seconds until the next limit; ``RefusedError`` when one is reached."""
        now = self._now()
        idle = min(self._wishes.idle or _NEVER, limits.idle or _NEVER)
        total = min(self._begun + (self._wishes.total or _NEVER), connected + (limits.total or _NEVER))
        left = {
            "The card was not used for as long as it may be unused": last_use + idle - now,
            "The connection has lasted as long as it may": total - now,
        }
        reason, seconds = min(left.items(), key=lambda item: item[1])
        if seconds <= 0:
            raise RefusedError(RefusalCode.TIMEOUT, f"{reason}; connect again to go on.")
        return seconds

    async def _hold(self, session: AdminSession, *, patient: bool) -> None:
        """Keep the card inserted until an error ends it; only a ``patient`` first insertion is tried again."""
        wait = FIRST_WAIT
        while True:
            if not self._wanted.is_set():
                await session.hold(self._wanted.wait)
            try:
                await session.insert(self._wishes.slots)
                wait = FIRST_WAIT
                await session.hold()
            except RefusedError as error:
                if not patient or error.code not in _PASSING:
                    raise
                self._watcher.notice(LinkLost(error.text, wait))
            patient = True
            if self._wanted.is_set():
                await asyncio.sleep(wait)  # the remote's virtual card process is being started again
                wait = min(wait * 2, LONGEST_WAIT)

    async def _dial_again(self, slept: float) -> AdminSession:
        """A new connection. The link was away since now, and while the machine slept, which nothing notices then."""
        lost_at = self._now() - slept
        wait = FIRST_WAIT
        while True:
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
            self._time_left(NO_LIMITS, self._last_use, self._begun)
            try:
                return await self._dial(max(self._now() - lost_at, 0))
            except LinkError as error:
                reason = str(error)
            except RefusedError as error:
                if error.code not in _PASSING:
                    raise
                reason = error.text
            self._watcher.notice(LinkLost(reason, wait))

    def _slept(self) -> float:
        """What grows by the seconds for which the machine sleeps."""
        return self._now() - asyncio.get_running_loop().time()
