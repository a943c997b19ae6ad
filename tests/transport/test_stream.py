"""Streams over real TLS: what becomes one, and what goes through two that are joined."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sra.errors import LinkError
from sra.transport import tls_identity, tls_trust
from sra.transport.channel import Channel
from sra.transport.gate import Gate
from sra.transport.listener import Listener
from sra.transport.stream import HIGH_WATER, MAX_EARLY, Stream, join, open_stream
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, SCREEN_ALPN
from sra.wire.states import Role
from tests.loopback import DEADLINE, HOST, PLENTY, dial, identity, until

MEGABYTE = 1024 * 1024


class House:
    """A port for channels and streams; what came in is kept."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.streams: list[Stream] = []
        self.port = 0

    async def take_channel(self, channel: Channel, leave: Callable[[], None]) -> None:
        leave()
        self.channels.append(channel)
        await channel.wait_lost()

    async def take_stream(self, stream: Stream, leave: Callable[[], None]) -> None:
        leave()
        self.streams.append(stream)
        await stream.wait_ended()

    async def stream(self) -> Stream:
        await until(lambda: bool(self.streams))
        return self.streams[-1]


@asynccontextmanager
async def house(*, streams: bool = True) -> AsyncIterator[House]:
    there = House()
    context = tls_identity.server_context(identity(), [ALPN, SCREEN_ALPN])
    welcome = there.take_stream if streams else None
    listener = Listener(context, lambda: Connection(Role.REMOTE), Gate(PLENTY), there.take_channel, welcome)
    there.port = await listener.open((HOST,), 0)
    try:
        yield there
    finally:
        await listener.close()


async def raw(port: int, *alpn: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = tls_trust.client_context(None, alpn)
    return await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost")


async def pair() -> tuple[Stream, socket.socket]:
    """A stream, and the socket at its other end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, stream = await asyncio.get_running_loop().create_unix_connection(Stream, sock=ours)
    return stream, theirs


async def read(peer: socket.socket, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(DEADLINE):
        while len(data) < size:
            part = await asyncio.get_running_loop().sock_recv(peer, size - len(data))
            assert part
            data += part
    return data


# What becomes a stream.


async def test_what_is_asked_for_by_its_protocol_is_a_stream() -> None:
    async with house() as there:
        _, writer = await raw(there.port, SCREEN_ALPN)
        await until(lambda: len(there.streams) == 1)
        assert there.channels == []
        writer.close()


@pytest.mark.parametrize("alpn", [(ALPN,), ("h2", ALPN)])
async def test_what_offers_the_session_is_one(alpn: tuple[str, ...]) -> None:
    async with house() as there:
        _, writer = await raw(there.port, *alpn)
        await until(lambda: len(there.channels) == 1)
        assert there.streams == []
        writer.close()


@pytest.mark.parametrize("alpn", [(), ("h2",), ("http/1.1", "h2"), ("sra/2",), ("SRA/1",)])
async def test_what_offers_none_of_ours_is_closed_at_once_and_reaches_nothing(alpn: tuple[str, ...]) -> None:
    async with house() as there:
        reader, writer = await raw(there.port, *alpn)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        writer.close()
        assert (there.channels, there.streams) == ([], [])


async def test_where_there_are_no_streams_one_is_closed_at_once() -> None:
    async with house(streams=False) as there:
        reader, _ = await raw(there.port, SCREEN_ALPN)
        assert await reader.read() == b""
        assert there.channels == []


async def test_a_stream_leads_to_the_very_machine_of_the_session() -> None:
    async with house() as there:
        channel = await dial(there.port)
        context = tls_trust.client_context(None, [SCREEN_ALPN])
        stream = await open_stream(channel, there.port, context, server_name="localhost", deadline=DEADLINE)
        assert (await there.stream()).peer_address == HOST
        stream.close()
        await channel.close("over")


async def test_another_machine_in_its_place_is_noticed() -> None:
    async with house() as there:
        channel = await dial(there.port)
        other = Listener(
            tls_identity.server_context(identity("another"), [SCREEN_ALPN]), lambda: Connection(Role.REMOTE),
            Gate(PLENTY), there.take_channel, there.take_stream,
        )  # fmt: skip
        port = await other.open((HOST,), 0)
        context = tls_trust.client_context(None, [SCREEN_ALPN])
        with pytest.raises(LinkError, match="another certificate"):
            await open_stream(channel, port, context, server_name="localhost", deadline=DEADLINE)
        await other.close()
        with pytest.raises(LinkError, match="takes no stream"):
            await open_stream(channel, port, context, server_name="localhost", deadline=DEADLINE)
        await channel.close("over")


# What is read before it leads anywhere.


async def test_the_first_bytes_are_read_however_they_come() -> None:
    stream, peer = await pair()
    reading = asyncio.create_task(stream.read(4, DEADLINE))
    for byte in b"abcdef":
        peer.send(bytes([byte]))
        await asyncio.sleep(0)
    assert await reading == b"abcd"
    other, far = await pair()
    join(stream, other)
    assert await read(far, 2) == b"ef"
    assert stream.received == 2
    stream.abort()


async def test_bytes_that_do_not_come_are_not_waited_for_for_ever() -> None:
    stream, peer = await pair()
    peer.send(b"abc")
    with pytest.raises(LinkError, match="Nothing was heard"):
        await stream.read(4, 0.05)
    peer.close()
    with pytest.raises(LinkError, match="ended before it began"):
        await stream.read(4, DEADLINE)


async def test_no_more_than_a_little_is_taken_before_there_is_somewhere_to_pass_it_on_to() -> None:
    stream, peer = await pair()
    loop = asyncio.get_running_loop()
    sending = asyncio.create_task(loop.sock_sendall(peer, bytes(8 * MEGABYTE)))
    await asyncio.sleep(0.1)
    assert stream.received <= MAX_EARLY + MEGABYTE
    assert not sending.done()
    other, far = await pair()
    join(stream, other)
    assert await read(far, 8 * MEGABYTE) == bytes(8 * MEGABYTE)
    await sending
    stream.abort()


# Two that are joined.


async def test_bytes_go_both_ways_unchanged_and_are_counted() -> None:
    async with house() as there:
        reader, writer = await raw(there.port, SCREEN_ALPN)
        near, peer = await pair()
        far = await there.stream()
        join(near, far)
        data = os.urandom(3 * MEGABYTE)
        writer.write(data)
        assert await read(peer, len(data)) == data
        await asyncio.get_running_loop().sock_sendall(peer, data[::-1])
        assert await reader.readexactly(len(data)) == data[::-1]
        assert (near.received, far.received) == (len(data), len(data))
        writer.close()


async def test_a_slow_reader_holds_up_the_writer_and_nothing_piles_up() -> None:
    async with house() as there:
        _, writer = await raw(there.port, SCREEN_ALPN)
        near, peer = await pair()
        far = await there.stream()
        join(near, far)
        writer.write(bytes(64 * MEGABYTE))
        await asyncio.sleep(0.3)
        assert far.received < 4 * HIGH_WATER + 4 * MEGABYTE
        before = far.received
        await asyncio.sleep(0.1)
        assert far.received == before
        await read(peer, 16 * MEGABYTE)
        await until(lambda: far.received >= 16 * MEGABYTE)
        writer.transport.abort()


async def test_when_one_ends_the_other_does_too_after_the_last_bytes() -> None:
    one, peer = await pair()
    other, far = await pair()
    join(one, other)
    peer.send(b"last words")
    peer.close()
    assert await read(far, 10) == b"last words"
    assert await asyncio.get_running_loop().sock_recv(far, 1) == b""
    await one.wait_ended()
    await other.wait_ended()
    assert (one.ended_first, other.ended_first) == (True, False)


async def test_joining_one_that_has_ended_ends_the_other() -> None:
    one, peer = await pair()
    peer.close()
    await one.wait_ended()
    other, far = await pair()
    join(one, other)
    assert await asyncio.get_running_loop().sock_recv(far, 1) == b""
    await other.wait_ended()


async def test_who_does_not_read_the_last_bytes_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sra.transport.stream.DRAIN_TIME", 0.05)
    one, peer = await pair()
    one.write(bytes(16 * MEGABYTE))
    one.close()
    one.close()
    async with asyncio.timeout(DEADLINE):
        await one.wait_ended()
    peer.close()


async def test_one_that_is_closed_at_once_does_not_disturb_the_next() -> None:
    """Its descriptor must not be given to another connection before its transport is done with it."""
    async with house() as there:
        for _ in range(20):
            reader, writer = await raw(there.port, "h2")
            _, next_writer = await raw(there.port, ALPN)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            async with asyncio.timeout(DEADLINE):
                await reader.read()
            for each in (writer, next_writer):
                each.close()
        await until(lambda: len(there.channels) == 20)
