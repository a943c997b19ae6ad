"""The listener: how strangers come in, and how they go out again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import resource
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sra.errors import LinkError
from sra.transport import listener as listener_module
from sra.transport.channel import Channel
from sra.transport.gate import Gate, GateLimits
from sra.transport.listener import BATCH, CROWDED, Listener
from sra.wire.connection import Connection
from sra.wire.messages import Ping, Pong
from sra.wire.states import Role, State
from tests.loopback import DEADLINE, HOST, PLENTY, Door, dial, listening, server_context, until


class Waiting:
    """A ``Welcome`` that keeps strangers strangers until told otherwise."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.leaves: list[Callable[[], None]] = []

    async def welcome(self, channel: Channel, leave: Callable[[], None]) -> None:
        self.channels.append(channel)
        self.leaves.append(leave)
        await channel.wait_lost()


def knock(port: int) -> socket.socket:
    """A connection that waits in the kernel until it is accepted."""
    knocking = socket.socket()
    knocking.setblocking(False)
    knocking.connect_ex((HOST, port))
    return knocking


async def is_refused(port: int) -> bool:
    """Whether a new connection is closed before any TLS."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        async with asyncio.timeout(0.3):
            return await reader.read(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    finally:
        writer.close()


async def test_between_two_batches_of_a_flood_everything_else_gets_its_turn() -> None:
    """An ``await`` of what is there already lets nobody else run."""
    counted = 0

    def count(_: socket.socket, address: str) -> tuple[str, ...]:
        nonlocal counted
        counted += 1
        return (address,)

    gate = Gate(GateLimits(strangers=1, per_address=1))
    listener = Listener(server_context(), lambda: Connection(Role.REMOTE), gate, Waiting().welcome, origins=count)
    port = await listener.open((HOST,), 0)
    flood = [knock(port) for _ in range(4 * BATCH)]
    turns = []
    while counted < len(flood):
        await asyncio.sleep(0)
        turns.append(counted)
    assert max(after - before for before, after in itertools.pairwise((0, *turns))) <= 1 + BATCH
    for each in flood:
        each.close()
    await listener.close()


async def test_one_stranger_too_many_takes_the_place_of_the_oldest_which_is_told() -> None:
    waiting = Waiting()
    limits = GateLimits(strangers=2, per_address=100, crowded=1.0)
    async with listening(waiting.welcome, state=State.INSERTED, limits=limits) as port:
        oldest, other = [await dial(port, state=State.INSERTED) for _ in range(2)]
        await until(lambda: len(waiting.channels) == 2)
        await dial(port, state=State.INSERTED)
        await oldest.wait_lost()
        assert oldest.goodbye is not None
        assert oldest.goodbye.reason == CROWDED
        assert not oldest.goodbye.final
        assert not other.is_lost


async def test_a_place_is_lost_in_every_phase() -> None:
    """TCP alone, a handshake that has begun, one that is done: each goes at once for the next, whatever it does."""
    door = Door()
    async with listening(door.welcome, limits=GateLimits(strangers=1, per_address=100, crowded=1.0)) as port:
        for begins in (b"", b"\x16\x03\x01"):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(begins)
            await asyncio.sleep(0.05)
            channel = await dial(port)
            assert await reader.read() == b""
            writer.close()
            channel.abort(LinkError("gone"))


async def test_one_that_is_put_out_before_it_began_is_closed() -> None:
    waiting = Waiting()
    async with listening(waiting.welcome, limits=GateLimits(strangers=1, per_address=100, crowded=1.0)) as port:
        clients = []
        for _ in range(20):  # they all wait in the kernel before the listener gets its turn
            client = socket.socket()
            client.connect((HOST, port))
            clients.append(client)
        loop = asyncio.get_running_loop()
        for client in clients[:-1]:
            client.setblocking(False)
            async with asyncio.timeout(DEADLINE):
                assert await loop.sock_recv(client, 1) == b""
        for client in clients:
            client.close()


async def test_who_has_authenticated_makes_room_and_going_makes_it_only_once() -> None:
    waiting = Waiting()
    async with listening(waiting.welcome, limits=GateLimits(strangers=1, per_address=100, crowded=1.0)) as port:
        known = await dial(port)
        await until(lambda: len(waiting.leaves) == 1)
        waiting.leaves[0]()
        waiting.leaves[0]()
        stranger = await dial(port)
        await until(lambda: len(waiting.channels) == 2)
        known.abort(LinkError("gone"))
        await until(lambda: waiting.channels[0].is_lost)
        assert not stranger.is_lost
        await dial(port)
        await stranger.wait_lost()


async def test_an_address_that_comes_too_often_is_refused() -> None:
    async with listening(
        Door().welcome, limits=GateLimits(strangers=100, per_address=3, period=60.0, crowded=1.0)
    ) as port:
        for _ in range(3):
            await dial(port)
        assert await is_refused(port)


async def test_who_does_not_shake_hands_in_time_is_gone_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "TLS_DEADLINE", 0.1)
    door = Door()
    async with listening(door.welcome, limits=GateLimits(strangers=1, per_address=100, crowded=1.0)) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        writer.close()
        await asyncio.sleep(0.01)
        channel = await dial(port)
        await door.next()
        channel.abort(LinkError("gone"))


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 4096, b""])
async def test_who_does_not_speak_tls_is_gone_and_makes_room(sent: bytes) -> None:
    door = Door()
    async with listening(door.welcome, limits=GateLimits(strangers=1, per_address=100, crowded=1.0)) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(DEADLINE):
            await reader.read()
        writer.close()
        await asyncio.sleep(0.02)
        (await dial(port)).abort(LinkError("gone"))


async def test_a_welcome_that_fails_ends_its_connection_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(channel: Channel, leave: Callable[[], None]) -> None:
        raise ZeroDivisionError

    limits = GateLimits(strangers=1, per_address=100, crowded=1.0)
    with caplog.at_level(logging.CRITICAL, "sra.link"):
        async with listening(fail, state=State.INSERTED, limits=limits) as port:
            for _ in range(3):
                channel = await dial(port, state=State.INSERTED)
                await channel.wait_lost()
                assert channel.goodbye is not None
                assert "error inside" in channel.goodbye.reason
                await asyncio.sleep(0.01)


async def test_a_connection_that_can_not_be_counted_ends_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def origins(_: socket.socket, address: str) -> tuple[str, ...]:
        if not came:
            came.append(address)
            raise ZeroDivisionError
        return (address,)

    came: list[str] = []
    door = Door()
    gate = Gate(PLENTY)
    listener = Listener(server_context(), lambda: Connection(Role.REMOTE), gate, door.welcome, None, origins)
    port = await listener.open((HOST,), 0)
    try:
        assert await is_refused(port)
        await dial(port)
    finally:
        await listener.close()
    assert "the connection is not taken" in caplog.text


async def test_no_file_descriptor_left_is_no_end() -> None:
    door = Door()
    async with listening(door.welcome, state=State.INSERTED) as port:
        asking = socket.socket()
        asking.setblocking(False)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = _highest_descriptor()
        taken: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, limits[1]))
        try:
            _take_all(taken)
            await asyncio.get_running_loop().sock_connect(asking, (HOST, port))
            await asyncio.sleep(0.05)
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        channel = await dial(port, state=State.INSERTED)
        serving = asyncio.create_task((await door.next()).serve(Nobody()))
        assert await channel.ask(Ping()) == Pong()
        asking.close()
        await channel.close("bye")
        await serving


def _highest_descriptor() -> int:
    return max(int(path.name) for path in Path("/proc/self/fd").iterdir())


def _take_all(taken: list[int]) -> None:
    while True:
        try:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return


class Nobody:
    """An ``Answerer`` that is never asked anything."""

    async def answer(self, question: object) -> Any:
        raise AssertionError(question)

    async def hear(self, notice: object) -> None:
        """Goodbyes are heard."""


async def test_closing_ends_everything_within_a_second() -> None:
    waiting = Waiting()
    listener = Listener(server_context(), lambda: Connection(Role.REMOTE), Gate(PLENTY), waiting.welcome)
    port = await listener.open((HOST,), 0)
    channels = [await dial(port) for _ in range(5)]
    half_open, _ = await asyncio.open_connection(HOST, port)
    await until(lambda: len(waiting.channels) == 5)
    async with asyncio.timeout(1):
        await listener.close()
        await asyncio.gather(*(channel.wait_lost() for channel in channels))
        assert await half_open.read() == b""
    assert {channel.goodbye.reason for channel in channels if channel.goodbye} == {"The service is stopping."}
    with pytest.raises(LinkError):
        await dial(port)


async def test_a_port_that_is_taken_is_an_error_and_the_other_addresses_are_let_go() -> None:
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        listener = Listener(server_context(), lambda: Connection(Role.REMOTE), Gate(PLENTY), Door().welcome)
        with pytest.raises(LinkError, match=r"Can't listen on 127\.0\.0\.2"):
            await listener.open((HOST, "127.0.0.2"), port)
        with socket.create_server((HOST, port)):
            pass


async def test_ipv4_and_ipv6_have_the_same_port() -> None:
    listener = Listener(server_context(), lambda: Connection(Role.REMOTE), Gate(PLENTY), Door().welcome)
    port = await listener.open(("::1", HOST), 0)
    for host in ("::1", HOST):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
    await listener.close()


async def test_small_messages_are_sent_at_once() -> None:
    door = Door()
    async with listening(door.welcome) as port:
        admin = await dial(port)
        remote = await door.next()
        for channel in (admin, remote):
            assert channel._transport is not None
            there = channel._transport.get_extra_info("socket")
            assert isinstance(there, TransportSocket)
            assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await admin.close("over")
