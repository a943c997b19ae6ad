"""An APDU relay at its best: the reader's socket (docs/reader-socket.md) with the network in its middle.

    python -m benchmarks.relay far PORT FOLDER        the card's side: the applet, and the software card behind it
    python -m benchmarks.relay near PORT SOCKET       the reader's side

The near side connects to the far side beforehand. After that the frames of the reader's socket go over this connection
as they are: the far side inserts the card by its greeting. Only for the removal there is a frame of our own. Nothing is
polled and nothing is held back.

The far side takes the lines ``insert`` and ``eject`` on stdin and answers each with the time of its decision; any other
line with whether the near side is connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path

from benchmarks.keys import PIN
from benchmarks.links import read_lines
from benchmarks.softcard import open_verified
from sra.piv.keys import PinOutcome, PinReply, PinRequest
from sra.piv.objects import ATR
from sra.remote.virtual_card import reader_frames
from sra.remote.virtual_card.applet import Applet
from sra.remote.virtual_card.reader_frames import FrameKind, ReaderConversation

HEADER = 5
EJECT = bytes([0x00]) + bytes(4)
IDLE = 30.0
"""Seconds after which the applet forgets the PIN: srad's default."""


class KnownPin:
    """Compares a typed PIN with the one that is known: nothing is as fast as that."""

    async def check_pin(self, request: PinRequest) -> PinReply:
        """Whether it is the PIN."""
        is_right = request.typed == PIN.encode()
        return PinReply(PinOutcome.VERIFIED if is_right else PinOutcome.WRONG, 3)


class FarSide(asyncio.Protocol):
    """The card's end of the connection."""

    def __init__(self, applet: Applet) -> None:
        self._applet = applet
        self._conversation = ReaderConversation()
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the newest connection."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a relay needs stream transports")
        _no_delay(transport)
        self._transport = transport

    @property
    def is_connected(self) -> bool:
        """Whether the near side is there."""
        return self._transport is not None

    def send(self, frame: bytes) -> float:
        """Send a frame to the reader's side; when that was decided (CLOCK_MONOTONIC)."""
        decided = time.monotonic()
        if self._transport is None:
            raise RuntimeError("the near side is not connected")
        self._transport.write(frame)
        return decided

    def data_received(self, data: bytes) -> None:
        """Have the applet answer a question."""
        question = self._conversation.receive(data)
        if question is not None:
            self._answering = asyncio.get_running_loop().create_task(self._answer(question))

    async def _answer(self, question: reader_frames.DriverQuestion) -> None:
        if question.kind is FrameKind.APDU:
            self.send(self._conversation.answer(await self._applet.transmit(question.body)))
        else:
            self._applet.reset()
            self.send(self._conversation.answer())


async def serve_far(port: int, folder: Path) -> None:
    """Serve the card; insert and eject as stdin says."""
    card = await open_verified(folder)
    applet = Applet(
        card.contents, card, KnownPin(), random_bytes=os.urandom, clock=time.monotonic, pin_idle=IDLE, pin_pad=False
    )
    far = FarSide(applet)
    await asyncio.get_running_loop().create_server(lambda: far, "127.0.0.1", port)
    commands = {"insert": reader_frames.greeting(ATR, pin_pad=False), "eject": EJECT}
    print("ready", flush=True)
    async for line in read_lines():
        frame = commands.get(line)
        print(json.dumps(far.is_connected if frame is None else far.send(frame)), flush=True)


class NearSide:
    """The reader's end of the connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._greeting = b""
        self._driver: asyncio.StreamWriter | None = None

    async def serve(self, port: int) -> None:
        """Pass frames on in both directions until the far side hangs up."""
        reader, self._far = await asyncio.open_connection("127.0.0.1", port)
        _no_delay(self._far.transport)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(HEADER)
                await self._pass_on(header + await reader.readexactly(int.from_bytes(header[1:], "big")))

    async def _pass_on(self, frame: bytes) -> None:
        if frame[0] == FrameKind.GREETING:
            self._greeting = frame
            await self._insert()
        elif frame == EJECT:
            self._eject()
        elif self._driver is not None:
            self._driver.write(frame)

    async def _insert(self) -> None:
        """The socket appears under its name when it can already be connected to."""
        hidden = self._path.with_name(".new")
        self._server = await asyncio.start_unix_server(self._serve_driver, hidden)
        os.rename(hidden, self._path)  # noqa: PTH104 - pathlib's would be a blocking call just the same

    def _eject(self) -> None:
        os.unlink(self._path)  # noqa: PTH108 - pathlib's would be a blocking call just the same
        if self._server is not None:
            self._server.close()
        if self._driver is not None:
            self._driver.close()

    async def _serve_driver(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._driver = writer
        writer.write(self._greeting)
        while data := await reader.read(65536):
            self._far.write(data)


def _no_delay(transport: asyncio.BaseTransport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main() -> None:
    """Run one side."""
    side, port, path = sys.argv[1:]
    if side == "far":
        asyncio.run(serve_far(int(port), Path(path)))
    else:
        asyncio.run(NearSide(Path(path)).serve(int(port)))


if __name__ == "__main__":
    main()
