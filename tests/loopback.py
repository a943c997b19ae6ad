"""Two ends of a connection with real TLS, on the loopback address."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sra.transport import tls_identity, tls_trust
from sra.transport.channel import Channel, open_channel
from sra.transport.gate import Gate, GateLimits
from sra.transport.listener import Listener, WelcomeChannel
from sra.transport.tls_identity import TlsIdentity
from sra.wire import frames
from sra.wire.connection import Connection
from sra.wire.frames import Frame
from sra.wire.messages import ALPN, Message
from sra.wire.states import Role, State

HOST = "127.0.0.1"
DEADLINE = 5.0
"""Seconds that anything on this machine may take before a test gives up."""
PLENTY = GateLimits(strangers=1000, per_address=1_000_000, waiting_per_address=1000, per_second=100_000, crowded=1.0)


def run(body: Coroutine[Any, Any, None]) -> None:
    """Run ``body`` to its end, which has to come soon."""

    async def within_time() -> None:
        async with asyncio.timeout(6 * DEADLINE):
            await body

    asyncio.run(within_time())


def identity(name: str = "remote") -> TlsIdentity:
    """A machine's TLS identity, the same one during the whole test run."""
    return _identity(name)


@cache
def _identity(name: str) -> TlsIdentity:
    folder = Path(tempfile.mkdtemp(prefix=f"sra-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return tls_identity.generate(folder / "identity", ["localhost", HOST], datetime.now(UTC))


def server_context(name: str = "remote") -> ssl.SSLContext:
    return tls_identity.server_context(identity(name), [ALPN])


async def dial(port: int, role: Role = Role.ADMIN, state: State = State.OPENED) -> Channel:
    """A channel to what listens there, whoever it is."""
    context = tls_trust.client_context(None, [ALPN])
    return await open_channel(HOST, port, context, Connection(role, state), server_name="localhost", deadline=DEADLINE)


async def dial_raw(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The streams of a peer that keeps no rules but those of TLS."""
    context = tls_trust.client_context(None, [ALPN])
    return await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost")


def raw(number: int, message: Message) -> bytes:
    return frames.encode(Frame(number, message))


@asynccontextmanager
async def listening(
    welcome: WelcomeChannel,
    role: Role = Role.REMOTE,
    state: State = State.OPENED,
    limits: GateLimits = PLENTY,
    connection: Callable[[], Connection] | None = None,
) -> AsyncIterator[int]:
    """The port of a listener that passes its channels on to ``welcome``."""
    listener = Listener(server_context(), connection or (lambda: Connection(role, state)), Gate(limits), welcome)
    port = await listener.open((HOST,), 0)
    try:
        yield port
    finally:
        await listener.close()


@asynccontextmanager
async def impostor() -> AsyncIterator[tuple[int, bytearray]]:
    """The port of a TLS listener that is not the remote, and what it has received once the one connection has ended."""
    received = bytearray()
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while part := await reader.read(1000):
                received.extend(part)
        except (ConnectionError, ssl.SSLError):
            pass
        writer.close()
        ended.set()

    async with await asyncio.start_server(listen, HOST, 0, ssl=server_context("impostor")) as server:
        yield server.sockets[0].getsockname()[1], received
        async with asyncio.timeout(DEADLINE):
            await ended.wait()


class Door:
    """A ``WelcomeChannel`` that hands out the channels that came in."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Channel] = asyncio.Queue()

    async def welcome(self, channel: Channel, leave: Callable[[], None]) -> None:
        leave()
        self._arrived.put_nowait(channel)
        await channel.wait_lost()

    async def next(self) -> Channel:
        async with asyncio.timeout(DEADLINE):
            return await self._arrived.get()


@asynccontextmanager
async def channels(state: State = State.INSERTED) -> AsyncIterator[tuple[Channel, Channel]]:
    """An admin's channel to a remote, and the remote's end of it."""
    door = Door()
    async with listening(door.welcome, state=state) as port:
        admin = await dial(port, state=state)
        remote = await door.next()
        try:
            yield admin, remote
        finally:
            await admin.close("The test is over.")


@asynccontextmanager
async def channel_and_raw_peer(
    role: Role, state: State
) -> AsyncIterator[tuple[Channel, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A channel of this role, and the bare streams of its peer."""
    door = Door()
    async with listening(door.welcome, role, state) as port:
        reader, writer = await dial_raw(port)
        try:
            yield await door.next(), reader, writer
        finally:
            writer.transport.abort()


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame that was sent to a raw peer."""
    async with asyncio.timeout(DEADLINE):
        header = await reader.readexactly(frames.HEADER_BYTES)
        body = await reader.readexactly(int.from_bytes(header, "big"))
    frame = frames.decode(bytearray(header + body), frames.MAX_FROM_ADMIN)
    assert frame is not None
    return frame


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds, at most ``DEADLINE`` from now."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - a test looks at what has no event
            await asyncio.sleep(0.002)
