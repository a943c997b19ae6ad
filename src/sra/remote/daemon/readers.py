"""The virtual readers: each is a channel to its virtual card process (port 4117), and whose card is in it."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError, SraError
from sra.piv.keys import KeyReply, KeyRequest, PinReply, PinRequest
from sra.transport.channel import Channel
from sra.wire.messages import CardInserted, EjectCard, InsertCard, Message

INSERT_DEADLINE = 5.0
"""Seconds for the virtual card process to have the card in its reader."""
EJECT_DEADLINE = 2.0
"""Seconds for it to have it out; then it is cut off, which empties the reader too."""

log = logging.getLogger("sra.readers")


class ReaderHolder(Protocol):
    """Whose card is in a reader."""

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Have a key of the card used."""

    async def check_pin(self, request: PinRequest) -> PinReply:
        """Have the card's PIN checked."""

    def card_lost(self, reason: str) -> None:
        """Take notice that the reader is empty, and not by the holder's wish."""


class Reader:
    """One virtual reader; answers what its virtual card asks."""

    def __init__(self, number: int, channel: Channel) -> None:
        self.number = number
        self._channel = channel
        self._holder: ReaderHolder | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._inserting: asyncio.Task[CardInserted] | None = None

    @property
    def is_free(self) -> bool:
        """Whether a card can be put in."""
        return self._holder is None and self._empty.is_set() and not self._channel.is_lost

    async def insert(self, holder: ReaderHolder, card: InsertCard) -> CardInserted:
        """Put the holder's card in; raise ``RefusedError`` or ``LinkError`` if that did not work."""
        self._holder = holder
        self._empty.clear()
        # Shielded: an admin that leaves now must not leave the two ends of 4117 in different minds.
        self._inserting = asyncio.create_task(self._put_in(card))
        try:
            return await asyncio.shield(self._inserting)
        except SraError:
            self._holder = None
            self._empty.set()
            raise

    async def _put_in(self, card: InsertCard) -> CardInserted:
        try:
            answer = await self._channel.ask(card, INSERT_DEADLINE)
        except RefusedError as error:
            if error.code is RefusalCode.TIMEOUT:
                self._channel.abort(LinkError("The virtual card process does not insert the card."))
            raise
        if not isinstance(answer, CardInserted):
            raise ProtocolError("a virtual card that answers something else")
        return answer

    async def eject(self, holder: ReaderHolder, reason: str) -> None:
        """Take the holder's card out; returns when the reader is empty. Nothing happens if it is not in."""
        if self._holder is not holder:
            return
        self._holder = None
        # A task of its own: it has to come to its end even when the admin's connection is cancelled meanwhile.
        taking_out = asyncio.create_task(self._take_out(reason))
        done, _ = await asyncio.wait([taking_out], timeout=INSERT_DEADLINE + EJECT_DEADLINE)
        if not done or taking_out.exception() is not None:
            taking_out.cancel()
            self._channel.abort(LinkError("The virtual card process does not eject the card."))
            self._empty.set()

    async def _take_out(self, reason: str) -> None:
        if self._inserting is not None:
            await asyncio.wait([self._inserting])
            if self._inserting.exception() is not None:
                self._empty.set()
        if not self._empty.is_set():
            self._channel.notify(EjectCard(reason))
            await self._empty.wait()

    def lost(self) -> None:
        """The virtual card process is gone, and the card with it."""
        self._out("The remote's virtual card process ended.")

    def _out(self, reason: str) -> None:
        holder, self._holder = self._holder, None
        self._empty.set()
        if holder is not None:
            holder.card_lost(reason)

    async def answer(self, question: Message) -> Message:
        """Pass a question of the virtual card on to whose card it is."""
        holder = self._holder
        if holder is None:
            raise RefusedError(RefusalCode.NOT_INSERTED, "The card is not inserted any more.")
        if isinstance(question, KeyRequest):
            return await holder.use_key(question)
        if isinstance(question, PinRequest):
            return await holder.check_pin(question)
        raise ProtocolError(f"{type(question).__name__} from a virtual card")

    async def hear(self, notice: Message) -> None:
        """The card is out: as we asked, or because the virtual card process could not keep it."""
        if isinstance(notice, EjectCard):
            if self._holder is not None:
                self._channel.notify(EjectCard(notice.reason))
            self._out(notice.reason)
