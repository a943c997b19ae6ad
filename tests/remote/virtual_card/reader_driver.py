"""Both ends of the reader's socket, for tests: a card that notes what it hears, and a driver."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sra.remote.virtual_card.reader_frames import FrameKind

SELECT = bytes.fromhex("00A4040000")
SLOW = bytes.fromhex("0087079A00")


class RecordingCard:
    """Answers at once, except to ``SLOW``, which takes until ``finish`` is set."""

    def __init__(self) -> None:
        self.heard: list[bytes | str] = []
        self.started = asyncio.Event()
        self.finish = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.commands: asyncio.Queue[bytes] = asyncio.Queue()

    async def transmit(self, apdu: bytes) -> bytes:
        self.heard.append(apdu)
        self.commands.put_nowait(apdu)
        if apdu == SLOW:
            self.started.set()
            try:
                await self.finish.wait()
            except asyncio.CancelledError:
                self.heard.append("cancelled")
                self.cancelled.set()
                raise
        return apdu + b"\x90\x00"

    def reset(self) -> None:
        self.heard.append("reset")


class Driver:
    """The other end of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, path: Path) -> Driver:
        """Connect as the driver does and take the greeting."""
        driver = cls(*await asyncio.open_unix_connection(path))
        assert (await driver.hear())[0] == FrameKind.GREETING
        return driver

    async def hear(self) -> tuple[int, bytes]:
        header = await self._reader.readexactly(5)
        return header[0], await self._reader.readexactly(int.from_bytes(header[1:], "big"))

    def say(self, kind: int, body: bytes = b"") -> None:
        self.writer.write(bytes([kind]) + len(body).to_bytes(4, "big") + body)

    async def ask(self, kind: int, body: bytes = b"") -> tuple[int, bytes]:
        self.say(kind, body)
        return await self.hear()

    async def is_closed(self) -> bool:
        try:
            return await self._reader.read() == b""
        except ConnectionResetError:
            return True
