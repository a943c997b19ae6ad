"""The listener and its gate: how many strangers come in, and how they go out again."""

from __future__ import annotations

import asyncio
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
from sra.transport.listener import MAX_ADDRESSES, Gate, Limits, Listener, network
from sra.wire.connection import Connection
from sra.wire.messages import Ping, Pong
from sra.wire.states import Role, State
from tests.loopback import DEADLINE, HOST, PLENTY, Door, dial, listening, run, server_context, until

# The gate.


def test_an_address_may_come_so_often_and_then_has_to_wait() -> None:
    gate = Gate(Limits(strangers=100, per_address=3, period=10.0))
    assert [gate.enter("192.0.2.1", float(now)) for now in (0, 1, 2, 3)] == [True, True, True, False]
    assert gate.enter("192.0.2.2", 3.0)
    assert not gate.enter("192.0.2.1", 9.9)
    assert gate.enter("192.0.2.1", 10.0)
    assert not gate.enter("192.0.2.1", 10.5)


def test_who_has_left_still_counts_for_the_address() -> None:
    gate = Gate(Limits(strangers=100, per_address=2, period=10.0))
    for now in (0.0, 1.0):
        assert gate.enter("192.0.2.1", now)
        gate.leave("192.0.2.1")
    assert not gate.enter("192.0.2.1", 2.0)


def test_there_are_so_many_strangers_and_no_more_until_one_leaves() -> None:
    gate = Gate(Limits(strangers=2, per_address=10))
    assert gate.enter("192.0.2.1", 0.0)
    assert gate.enter("192.0.2.2", 0.0)
    assert not gate.enter("192.0.2.3", 0.0)
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.3", 0.0)


def test_who_was_refused_is_not_counted() -> None:
    gate = Gate(Limits(strangers=1, per_address=2, period=10.0))
    assert gate.enter("192.0.2.1", 0.0)
    assert not any(gate.enter("192.0.2.1", 1.0) for _ in range(5))
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.1", 2.0)


def test_an_address_that_never_proves_anything_does_not_keep_the_others_out() -> None:
    gate = Gate(Limits(strangers=10, per_address=100, waiting_per_address=2))
    assert [gate.enter("192.0.2.1", 0.0) for _ in range(4)] == [True, True, False, False]
    assert gate.enter("192.0.2.2", 0.0)
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.1", 0.0)


def test_a_whole_64_of_ipv6_is_one_address() -> None:
    gate = Gate(Limits(per_address=2))
    assert gate.enter("2001:db8:1:2::1", 0.0)
    assert gate.enter("2001:db8:1:2:ffff::2", 0.0)
    assert not gate.enter("2001:db8:1:2:3:4:5:6", 0.0)
    assert gate.enter("2001:db8:1:3::1", 0.0)


def test_addresses_are_compared_by_what_they_mean() -> None:
    assert network("fe80::1%eth0") == network("fe80::2")
    assert network("2001:DB8::1") == network("2001:db8:0:0::2")
    assert len({network(f"192.0.2.{last}") for last in range(4)}) == 4
    assert network("::ffff:192.0.2.1") != network("::ffff:192.0.2.2")


def test_the_gate_forgets_the_oldest_addresses_rather_than_grow() -> None:
    gate = Gate(Limits(strangers=10**9, per_address=1))
    for number in range(MAX_ADDRESSES + 100):
        assert gate.enter(f"10.0.{number // 256}.{number % 256}", 0.0)
    assert len(gate._arrivals) == MAX_ADDRESSES
    assert gate.enter("10.0.0.0", 0.0)


# The listener.


class Waiting:
    """A ``Welcome`` that keeps strangers strangers until told otherwise."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.leaves: list[Callable[[], None]] = []

    async def welcome(self, channel: Channel, leave: Callable[[], None]) -> None:
        self.channels.append(channel)
        self.leaves.append(leave)
        await channel.wait_lost()


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


def test_one_stranger_too_many_costs_no_handshake() -> None:
    async def body() -> None:
        waiting = Waiting()
        async with listening(waiting.welcome, limits=Limits(strangers=2, per_address=100)) as port:
            first, _ = await dial(port), await dial(port)
            await until(lambda: len(waiting.channels) == 2)
            assert await is_refused(port)
            first.abort(LinkError("gone"))
            await until(lambda: waiting.channels[0].is_lost)
            await asyncio.sleep(0.02)
            (await dial(port)).abort(LinkError("gone"))

    run(body())


def test_who_has_authenticated_makes_room_and_going_makes_it_only_once() -> None:
    async def body() -> None:
        waiting = Waiting()
        async with listening(waiting.welcome, limits=Limits(strangers=1, per_address=100)) as port:
            known = await dial(port)
            await until(lambda: len(waiting.leaves) == 1)
            waiting.leaves[0]()
            waiting.leaves[0]()
            stranger = await dial(port)
            await until(lambda: len(waiting.channels) == 2)
            assert await is_refused(port)
            known.abort(LinkError("gone"))
            await until(lambda: waiting.channels[0].is_lost)
            assert await is_refused(port)
            assert not stranger.is_lost

    run(body())


def test_an_address_that_comes_too_often_is_refused() -> None:
    async def body() -> None:
        async with listening(Door().welcome, limits=Limits(strangers=100, per_address=3, period=60.0)) as port:
            for _ in range(3):
                await dial(port)
            assert await is_refused(port)

    run(body())


def test_who_does_not_shake_hands_in_time_is_gone_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "TLS_DEADLINE", 0.1)

    async def body() -> None:
        door = Door()
        async with listening(door.welcome, limits=Limits(strangers=1, per_address=100)) as port:
            reader, writer = await asyncio.open_connection(HOST, port)
            assert await is_refused(port)
            async with asyncio.timeout(DEADLINE):
                assert await reader.read() == b""
            writer.close()
            await asyncio.sleep(0.01)
            channel = await dial(port)
            await door.next()
            channel.abort(LinkError("gone"))

    run(body())


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 4096, b""])
def test_who_does_not_speak_tls_is_gone_and_makes_room(sent: bytes) -> None:
    async def body() -> None:
        door = Door()
        async with listening(door.welcome, limits=Limits(strangers=1, per_address=100)) as port:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(sent)
            writer.write_eof()
            async with asyncio.timeout(DEADLINE):
                await reader.read()
            writer.close()
            await asyncio.sleep(0.02)
            (await dial(port)).abort(LinkError("gone"))

    run(body())


def test_a_welcome_that_fails_ends_its_connection_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async def fail(channel: Channel, leave: Callable[[], None]) -> None:
            raise ZeroDivisionError

        async with listening(fail, state=State.INSERTED, limits=Limits(strangers=1, per_address=100)) as port:
            for _ in range(3):
                channel = await dial(port, state=State.INSERTED)
                await channel.wait_lost()
                assert channel.goodbye is not None
                assert "error inside" in channel.goodbye.reason
                await asyncio.sleep(0.01)

    with caplog.at_level(logging.CRITICAL, "sra.link"):
        run(body())


def test_no_file_descriptor_left_is_no_end() -> None:
    async def body() -> None:
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

    run(body())


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


def test_closing_ends_everything_within_a_second() -> None:
    async def body() -> None:
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

    run(body())


def test_a_port_that_is_taken_is_an_error_and_the_other_addresses_are_let_go() -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.2", 0)) as other:
            port = other.getsockname()[1]
            listener = Listener(server_context(), lambda: Connection(Role.REMOTE), Gate(PLENTY), Door().welcome)
            with pytest.raises(LinkError, match=r"Can't listen on 127\.0\.0\.2"):
                await listener.open((HOST, "127.0.0.2"), port)
            with socket.create_server((HOST, port)):
                pass

    run(body())


def test_ipv4_and_ipv6_have_the_same_port() -> None:
    async def body() -> None:
        listener = Listener(server_context(), lambda: Connection(Role.REMOTE), Gate(PLENTY), Door().welcome)
        port = await listener.open(("::1", HOST), 0)
        for host in ("::1", HOST):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
        await listener.close()

    run(body())


def test_small_messages_are_sent_at_once() -> None:
    async def body() -> None:
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

    run(body())
