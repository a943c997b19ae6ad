"""A conversation with the card in a reader: groups of commands, each in a transaction and in the card's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sra.cards.base import CardThread, settle
from sra.cards.pcsc.piv import PcscPivApplication, way_to_card
from sra.cards.pcsc.reader import BUSY, WAITING, CardResetError, ReaderConnection, verify_control, verify_structure
from sra.errors import CardBusyError, CardError, CardRemovedError, ProtocolError
from sra.piv.tlv import TlvError

T = TypeVar("T")

NOTICE_AFTER = 1.0
"""Seconds of waiting for another program after which the user is told."""

Notice = Callable[[str], None]


class PcscSession:
    """Turns at the card. ``connect`` first, ``close`` at last."""

    def __init__(self, reader: str, patience: float, notice: Notice) -> None:
        """Store; ``patience`` is for how many seconds another program may keep the card, ``notice`` is told of it."""
        self._patience = patience
        self._notice = notice
        self._connection = ReaderConnection(reader)
        self._thread = CardThread(f"card in {reader}")
        self._one_at_a_time = asyncio.Lock()
        self._is_closed = False

    async def connect(self) -> None:
        """Connect to the card and select PIV; raise ``CardError``, and then nothing has to be closed."""
        loop = asyncio.get_running_loop()

        def busy() -> None:
            loop.call_soon_threadsafe(self._notice, WAITING)

        try:
            await self._thread.run(lambda: self._connection.connect(self._patience, busy))
            await self.take_turn(lambda piv: piv.select())
        except BaseException:
            await self.close(forget=False)
            raise

    async def take_turn(self, work: Callable[[PcscPivApplication], T]) -> T:
        """What ``work`` returns, done with no other program's commands in between, however long the card takes for it.

        Raise ``CardBusyError`` if another program keeps the card for too long; the work is not done then.
        """
        turn: Future[T] = Future()
        async with self._one_at_a_time:
            if self._is_closed:
                raise CardRemovedError("The card was let go; connect to it again.")
            self._thread.submit(lambda: self._await_turn(turn, work))
            outcome = asyncio.wrap_future(turn)
            try:
                await self._await_start(turn, outcome)
            except asyncio.CancelledError:
                outcome.cancel()
                raise
            return await outcome

    def forget_pin(self, piv: PcscPivApplication) -> None:
        """Within a turn: have the card forget its PIN, by a reset if it has no command for that."""
        if not piv.forget_pin():
            self._connection.reset()
            piv.select()

    def pad_control(self) -> int | None:
        """Within a turn: the control code of the reader's PIN pad; ``None`` if it has none."""
        return verify_control(self._connection.features())

    def verify_on_pad(self, piv: PcscPivApplication, control: int) -> None:
        """Within a turn: have the PIN typed on the reader."""
        piv.verify_on_pad(lambda: self._connection.control(control, verify_structure()))

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

    async def _await_start(self, turn: Future[T], outcome: asyncio.Future[T]) -> None:
        """Return when the turn is under way or over; raise ``CardBusyError`` if another program keeps the card."""
        soon = min(NOTICE_AFTER, self._patience)
        done, _ = await asyncio.wait({outcome}, timeout=soon)
        if done or turn.running():
            return
        self._notice(WAITING)
        done, _ = await asyncio.wait({outcome}, timeout=self._patience - soon)
        if not done and turn.cancel():
            raise CardBusyError(BUSY)

    def _await_turn(self, turn: Future[T], work: Callable[[PcscPivApplication], T]) -> None:
        """In the thread: begin a transaction, then do the work unless the caller has given up waiting."""
        try:
            self._begin(turn, work)
        except CardResetError:
            self._begin_again(turn, work)
        except CardError as error:
            _fail(turn, error)

    def _begin(self, turn: Future[T], work: Callable[[PcscPivApplication], T]) -> None:
        with self._connection.transaction():
            if turn.set_running_or_notify_cancel():
                piv = PcscPivApplication(way_to_card(self._connection.transmit, self._connection.is_t0))
                settle(turn, lambda: _understood(work, piv))

    def _begin_again(self, turn: Future[T], work: Callable[[PcscPivApplication], T]) -> None:
        """After a reset by another program: PIV has to be selected again, and the PIN state is gone."""

        def work_selected(piv: PcscPivApplication) -> T:
            piv.select()
            return work(piv)

        try:
            self._connection.reconnect()
            self._begin(turn, work_selected)
        except CardError as error:
            _fail(turn, error)


def _fail(turn: Future[T], error: CardError) -> None:
    if turn.set_running_or_notify_cancel():
        turn.set_exception(error)


def _understood(work: Callable[[PcscPivApplication], T], piv: PcscPivApplication) -> T:
    try:
        return work(piv)
    except (ProtocolError, TlvError) as error:
        text = f"The card gave an answer that can't be understood ({error}); put it in again and retry."
        raise CardError(text) from error
