"""One connection of the driver to the virtual card."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

from sra.errors import ProtocolError
from sra.remote.virtual_card.reader_frames import DriverQuestion, FrameKind, ReaderConversation
from sra.system.peer import peer_user

_log = logging.getLogger("sra.card")

_LOGGED = 4
"""Bytes of a command that may be in a log, its header: what follows can be a PIN or a key block."""

_STATUS_WORD = 2

_PATIENCE = 1.0
"""Seconds for a cancelled key use to end; one that doesn't is left to itself."""


class VirtualCard(Protocol):
    """What is in the reader."""

    async def transmit(self, apdu: bytes) -> bytes:
        """The response APDU to a command APDU."""

    def reset(self) -> None:
        """Forget everything since power-up."""


class DriverConnection(asyncio.Protocol):
    """Passes the driver's questions to the card, one at a time.

    ``greeting`` is the first frame; ``users`` may be the driver; ``on_accepted`` hears of a connection from one of
    them. When the connection ends, the key use that is under way is cancelled and the card is reset, at once.
    """

    def __init__(
        self,
        card: VirtualCard,
        greeting: bytes,
        users: frozenset[int],
        wait_interval: float,
        on_accepted: Callable[[DriverConnection], None],
    ) -> None:
        self._card = card
        self._greeting = greeting
        self._users = users
        self._wait_interval = wait_interval
        self._on_accepted = on_accepted
        self._conversation = ReaderConversation()
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None
        self._wait_timer: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the driver; hang up on any other process."""
        connected = cast("asyncio.Transport", transport)
        if not self._is_driver(connected):
            connected.abort()
            return
        self._transport = connected
        self._on_accepted(self)
        self._send(self._greeting)

    def data_received(self, data: bytes) -> None:
        """Take the driver's question, or close the connection if the driver broke a rule."""
        if self._transport is None:
            return
        try:
            question = self._conversation.receive(data)
        except ProtocolError as error:
            _log.warning("connection to the driver closed: %s", error)
            self.abort()
            return
        if question is not None:
            self._begin(question)

    def pause_writing(self) -> None:
        """Take no more questions from a driver that doesn't read its answers."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The driver reads again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The driver went away, or we closed."""
        self._lost.set()
        self.abort()

    def abort(self) -> None:
        """End the connection at once, whatever is under way."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.abort()
        self._stop_waiting()
        if self._answering is not None:
            self._answering.cancel()
        self._card.reset()

    async def end(self) -> None:
        """End the connection, and return when the socket is closed and the key use cancelled."""
        if self._transport is None:
            return
        self.abort()
        await self._lost.wait()
        if self._answering is not None:
            await asyncio.wait({self._answering}, timeout=_PATIENCE)

    def _is_driver(self, transport: asyncio.Transport) -> bool:
        try:
            user = peer_user(transport.get_extra_info("socket"))
        except OSError as error:
            _log.warning("connection to the reader refused: %s", error)
            return False
        if user not in self._users:
            _log.warning("connection to the reader refused: user %d is not the driver's", user)
        return user in self._users

    def _begin(self, question: DriverQuestion) -> None:
        """Answer a change of power at once, and a command when the card has."""
        if question.kind is not FrameKind.APDU:
            _log.debug("< %s", question.kind.name)
            self._card.reset()
            self._send(self._conversation.answer())
            return
        self._wait_later()
        self._answering = asyncio.get_running_loop().create_task(self._answer(question.body))
        self._answering.add_done_callback(self._answered)

    async def _answer(self, apdu: bytes) -> None:
        response = await self._card.transmit(apdu)
        _log.debug("< %s (%d bytes)", apdu[:_LOGGED].hex(" "), len(apdu))
        _log.debug("> %s (%d bytes)", response[-_STATUS_WORD:].hex(), len(response))
        self._stop_waiting()
        self._send(self._conversation.answer(response))

    def _answered(self, answering: asyncio.Task[None]) -> None:
        """A card that fails without an answer leaves the driver nothing to wait for."""
        if not answering.cancelled() and (error := answering.exception()) is not None:
            _log.error("connection to the driver closed: the card failed with %s", type(error).__name__)
            self.abort()

    def _wait_later(self) -> None:
        self._wait_timer = asyncio.get_running_loop().call_later(self._wait_interval, self._wait)

    def _wait(self) -> None:
        self._send(self._conversation.waiting())
        self._wait_later()

    def _stop_waiting(self) -> None:
        if self._wait_timer is not None:
            self._wait_timer.cancel()

    def _send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)
