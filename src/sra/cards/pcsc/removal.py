"""Noticing that a card was taken out, without asking again and again."""

from __future__ import annotations

import asyncio

from sra.cards.card_thread import CardThread
from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.reader import ReaderState
from sra.errors import CardError

_CANCEL_RETRY = 0.05
"""Seconds: a cancellation that comes before the waiting has begun is lost, and has to be repeated."""


class _Watch:
    """A wait for the removal, in a thread of its own; ``cancel`` may be called from another one."""

    def __init__(self, state: ReaderState) -> None:
        self._state = state
        self._context: int | None = None

    def run(self) -> None:
        """Return when the card is out, its reader or the service gone, or the wait cancelled."""
        try:
            with pcsc_reader.context() as context:
                self._context = context
                pcsc_reader.wait_changed(context, self._state)
        except CardError:
            return

    def cancel(self) -> None:
        if self._context is not None:
            pcsc_reader.cancel(self._context)


async def wait_removed(state: ReaderState) -> None:
    """Return when the card that ``state`` tells of is out, its reader unplugged, or the service gone."""
    watch = _Watch(state)
    thread = CardThread(f"removal of the card in {state.name}")
    waiting = thread.run(watch.run)
    thread.stop()
    try:
        await asyncio.shield(waiting)
    finally:
        while not waiting.done():
            await asyncio.to_thread(watch.cancel)
            await asyncio.wait({waiting}, timeout=_CANCEL_RETRY)
