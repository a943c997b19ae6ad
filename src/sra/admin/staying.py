"""Stay connected: hold the card in the remote's reader, and come back after a link that broke."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from sra.admin.events import LinkLost, Watcher
from sra.admin.session import Session
from sra.errors import LinkError, RefusalCode, RefusedError
from sra.piv.keys import Slot

FIRST_WAIT = 0.5
"""Seconds before the first new try."""
LONGEST_WAIT = 15.0
"""Seconds between tries, when they have failed for long."""
_PASSING = (RefusalCode.NO_READER, RefusalCode.BUSY, RefusalCode.TIMEOUT)
"""Refusals that may be over soon."""

Dial = Callable[[], Awaitable[Session]]


@dataclass(frozen=True)
class Wishes:
    """What the person wants of the connection."""

    slots: Collection[Slot]
    pin_pad: bool = True
    reconnect: bool = True


async def stay(dial: Dial, wishes: Wishes, watcher: Watcher) -> None:
    """Connect, insert, and hold until the person ends it (cancellation) or an error says why it is over.

    The first connection and the first insertion have to work; after them a broken link is tried again for ever,
    unless the person or the remote wants it otherwise.
    """
    session = await dial()
    patient = False
    while True:
        try:
            await _hold(session, wishes, watcher, patient=patient)
        except LinkError as error:
            if not wishes.reconnect or session.is_final:
                raise
            watcher.notice(LinkLost(str(error), FIRST_WAIT))
        finally:
            await session.close("The admin disconnected.")
        session = await _dial_again(dial, watcher)
        patient = True


async def _hold(session: Session, wishes: Wishes, watcher: Watcher, *, patient: bool) -> None:
    """Keep the card inserted until an error ends it; only a ``patient`` first insertion is tried again."""
    wait = FIRST_WAIT
    while True:
        try:
            await session.insert(wishes.slots, pin_pad=wishes.pin_pad)
            wait = FIRST_WAIT
            await session.hold()
        except RefusedError as error:
            if not patient or error.code not in _PASSING:
                raise
            watcher.notice(LinkLost(error.text, wait))
        patient = True
        await asyncio.sleep(wait)  # the remote's virtual card process is being started again
        wait = min(wait * 2, LONGEST_WAIT)


async def _dial_again(dial: Dial, watcher: Watcher) -> Session:
    wait = FIRST_WAIT
    while True:
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT)
        try:
            return await dial()
        except LinkError as error:
            reason = str(error)
        except RefusedError as error:
            if error.code not in _PASSING:
                raise
            reason = error.text
        watcher.notice(LinkLost(reason, wait))
