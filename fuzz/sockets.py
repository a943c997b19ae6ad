"""What comes over local sockets, to objects that live in an event loop: session control, and the driver's side."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest import mock

from fuzz.target import attempt, must, pieces, target
from sra.admin import control
from sra.admin.control import Control, ControlRequest, ControlStatus
from sra.errors import LinkError
from sra.remote.virtual_card import reader_frames
from sra.remote.virtual_card.driver_connection import DriverConnection
from sra.remote.virtual_card.reader_frames import FrameKind

_STANDING = ControlStatus("remote", "ann", "software:ann", connected=True, inserted=True, paused=False, uses=3)
_FOLDER = Path("/nonexistent")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@functools.cache
def _pair() -> tuple[socket.socket, socket.socket]:
    """A connection with ourselves at both ends, as the kernel says."""
    return socket.socketpair()


class _Reader:
    """All that the other side will ever send."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def readuntil(self, end: bytes) -> bytes:
        line, found, _ = self._data.partition(end)
        if not found:
            raise asyncio.IncompleteReadError(line, None)
        if len(line) > control.MAX_LINE:
            raise asyncio.LimitOverrunError("too long", len(line))
        return line + found


class _Writer:
    """Where an answer goes."""

    def __init__(self) -> None:
        self.written = b""

    def get_extra_info(self, name: str) -> Any:
        return {"socket": _pair()[0], "peername": ""}[name]

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def drain(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


async def _does() -> ControlStatus:
    return _STANDING


@target(
    max_len=control.MAX_LINE + 64,
    words=(*(f'"{order}"\n'.encode() for order in ControlRequest), b'{"remote":"', b'"uses":3}\n'),
)
def fuzz_session_control(data: bytes) -> None:
    """An order to a running connection, and its answer."""
    writer = _Writer()
    taking = Control(_FOLDER, dict.fromkeys(ControlRequest, _does))
    serving = taking._serve(cast("asyncio.StreamReader", _Reader(data)), cast("asyncio.StreamWriter", writer))
    _loop().run_until_complete(serving)
    must(writer.written.count(b"\n") <= 1, "an order has one answer")

    async def opened(*_: object, **__: object) -> tuple[_Reader, _Writer]:
        return _Reader(data), _Writer()

    with mock.patch.object(asyncio, "open_unix_connection", opened):
        told = attempt(LinkError, _loop().run_until_complete, control.tell(_FOLDER, ControlRequest.STATUS))
    must(told is None or isinstance(told, ControlStatus), "an answer says how a connection stands")


class _Card:
    """A card that answers with the status word alone."""

    async def transmit(self, apdu: bytes) -> bytes:
        must(4 <= len(apdu) <= reader_frames.MAX_COMMAND, "a command is no longer than commands are")
        return b"\x90\x00"

    def reset(self) -> None:
        pass


def _frames(written: bytes) -> Iterator[int]:
    """The kinds of the frames that were sent to the driver; raise if something is left over."""
    while written:
        length = int.from_bytes(written[1:5], "big")
        must(len(written) >= 5 + length, "frames are whole")
        yield written[0]
        written = written[5 + length :]


async def _talk(parts: list[bytes]) -> list[int]:
    transport = _Writer()
    greeting = reader_frames.greeting(b"\x3b\x80", pin_pad=True)
    connection = DriverConnection(_Card(), greeting, frozenset({os.geteuid()}), 60.0, lambda _: None)
    connection.connection_made(cast("asyncio.Transport", transport))
    for part in parts:
        connection.data_received(part)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    connection.connection_lost(None)
    await asyncio.sleep(0)
    return list(_frames(transport.written))


@target(max_len=512, seconds=0.6, words=(b"\x02\0\0\0\0", b"\x03\0\0\0\0", b"\x04\0\0\0\x04\0\xa4\4\0"))
def fuzz_driver_connection(data: bytes) -> None:
    """The driver's bytes, in any pieces: it is greeted, and gets an answer for each question and no more."""
    for parts in pieces(data):
        kinds = _loop().run_until_complete(_talk([part for part in parts if part]))
        must(kinds[0] == FrameKind.GREETING, "the driver is greeted first")
        must(set(kinds[1:]) <= {FrameKind.DONE, FrameKind.RESPONSE, FrameKind.WAIT}, "what follows are answers")
        must(len(kinds) <= 1 + len(data) // 5, "there are no more answers than questions")
