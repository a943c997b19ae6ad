"""A conversation with the card in a reader: groups of commands, each in a transaction and in the card's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sra.admin.cards.pcsc_piv import PivApplication, way_to_card
from sra.admin.cards.pcsc_reader import BUSY, CardResetError, ReaderConnection
from sra.admin.cards.pcsc_thread import CardThread, settle
from sra.errors import CardBusyError, CardError, CardRemovedError, ProtocolError
from sra.piv.tlv import TlvError

T = TypeVar("T")


class CardSession:
    """Turns at the card. ``connect`` first, ``close`` at last."""

    def __init__(self, reader: str, patience: float) -> None:
        """Store; ``patience`` is for how many seconds another program may keep the card from us."""
        self._patience = patience
        self._connection = ReaderConnection(reader)
        self._thread = CardThread(f"card in {reader}")
        self._one_at_a_time = asyncio.Lock()
        self._is_closed = False

    async def connect(self) -> None:
        """Connect to the card and select PIV; raise ``CardError``, and then nothing has to be closed."""
        try:
            await self._thread.run(lambda: self._connection.connect(self._patience))
            await self.take_turn(lambda piv: piv.select())
        except BaseException:
            await self.close(forget=False)
            raise

    async def take_turn(self, work: Callable[[PivApplication], T]) -> T:
        """What ``work`` returns, done with nobody else's commands in between.

        Raise ``CardBusyError`` if another program keeps the card for too long; the work is not done then.
        """
        turn: Future[T] = Future()
        async with self._one_at_a_time:
            if self._is_closed:
                raise CardRemovedError("The card was let go; connect to it again.")
            self._thread.submit(lambda: self._await_turn(turn, work))
            outcome = asyncio.wrap_future(turn)
            try:
                done, _ = await asyncio.wait({outcome}, timeout=self._patience)
            except asyncio.CancelledError:
                outcome.cancel()
                raise
            if not done and turn.cancel():
                raise CardBusyError(BUSY)
            return await outcome

    async def close(self, forget: bool) -> None:
        """Let the card go, once what is under way is done; ``forget`` resets it, which ends its PIN state.

        Waits for that, but not for ever: another program may keep the card. A second time it does nothing.
        """
        if self._is_closed:
            return
        self._is_closed = True
        ending = self._thread.run(lambda: self._connection.disconnect(forget))
        self._thread.stop()
        await asyncio.wait({ending}, timeout=self._patience)

    def _await_turn(self, turn: Future[T], work: Callable[[PivApplication], T]) -> None:
        """In the thread: begin a transaction, then do the work unless nobody waits for it any more."""
        try:
            self._begin(turn, work)
        except CardResetError:
            self._begin_again(turn, work)
        except CardError as error:
            _fail(turn, error)

    def _begin(self, turn: Future[T], work: Callable[[PivApplication], T]) -> None:
        with self._connection.transaction():
            if turn.set_running_or_notify_cancel():
                settle(turn, lambda: _understood(work, self._piv()))

    def _begin_again(self, turn: Future[T], work: Callable[[PivApplication], T]) -> None:
        """After a reset by another program: PIV has to be selected again, and the PIN state is gone."""

        def work_selected(piv: PivApplication) -> T:
            piv.select()
            return work(piv)

        try:
            self._connection.reconnect()
            self._begin(turn, work_selected)
        except CardError as error:
            _fail(turn, error)

    def _piv(self) -> PivApplication:
        return PivApplication(way_to_card(self._connection.transmit, self._connection.is_t0))


def _fail(turn: Future[T], error: CardError) -> None:
    if turn.set_running_or_notify_cancel():
        turn.set_exception(error)


def _understood(work: Callable[[PivApplication], T], piv: PivApplication) -> T:
    try:
        return work(piv)
    except (ProtocolError, TlvError) as error:
        text = f"The card gave an answer that can't be understood ({error}); put it in again and retry."
        raise CardError(text) from error
