"""A virtual card process on port 4117 that says whatever a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from sra.wire.messages import Attach, Attached, Message
from tests.loopback import dial_raw, raw, read_frame
from tests.memory_remote import SECRET

M = TypeVar("M")


class RawVirtualCard:
    """The streams of an attached process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, *frames: tuple[int, Message]) -> None:
        """Send the frames in one segment."""
        self._writer.write(b"".join(raw(number, message) for number, message in frames))

    async def expect(self, kind: type[M]) -> tuple[int, M]:
        """The next frame, which is of this kind."""
        frame = await read_frame(self._reader)
        assert isinstance(frame.message, kind)
        return frame.number, frame.message

    async def is_cut_off(self) -> bool:
        """Whether srad ends the connection without another word."""
        try:
            async with asyncio.timeout(2):
                return await self._reader.read() == b""
        except ConnectionError:
            return True

    def leave(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def attached(port: int, number: int = 0) -> AsyncIterator[RawVirtualCard]:
    card = RawVirtualCard(*await dial_raw(port))
    card.say((1, Attach(SECRET, number)))
    await card.expect(Attached)
    try:
        yield card
    finally:
        card.leave()
