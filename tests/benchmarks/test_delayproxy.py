"""The proxy counts turns, keeps order, and loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.delayproxy import Counter, DelayLine, Proxy, Way, ask

TO_SERVER, TO_CLIENT = Way.TO_SERVER, Way.TO_CLIENT


def counted(*ways: Way) -> Counter:
    counter = Counter()
    number = counter.opened()
    counter.reset()
    for way in ways:
        counter.passed(number, way, 10)
    return counter


def test_a_question_and_its_answer_are_one_round_trip() -> None:
    assert counted(TO_SERVER, TO_CLIENT).counts().round_trips == 1


def test_it_does_not_matter_which_side_asks() -> None:
    assert counted(TO_CLIENT, TO_SERVER).counts().round_trips == 1


def test_chunks_in_the_same_direction_are_one_turn() -> None:
    counts = counted(TO_SERVER, TO_SERVER, TO_SERVER, TO_CLIENT, TO_CLIENT).counts()
    assert counts.round_trips == 1
    assert (counts.bytes_to_server, counts.bytes_to_client) == (30, 20)


def test_a_message_without_an_answer_is_half_a_round_trip() -> None:
    assert counted(TO_SERVER).counts().round_trips == 0.5


def test_a_connection_costs_the_round_trip_of_its_handshake() -> None:
    counter = Counter()
    counter.opened()
    assert counter.counts().round_trips == 1


def test_connections_do_not_disturb_each_others_turns() -> None:
    counter = Counter()
    first, second = counter.opened(), counter.opened()
    counter.reset()
    for number in (first, second, first, second):
        counter.passed(number, TO_SERVER, 1)
    assert counter.counts().turns_to_server == 2


def test_after_a_reset_the_next_question_counts_again() -> None:
    counter = Counter()
    number = counter.opened()
    counter.passed(number, TO_SERVER, 1)
    counter.passed(number, TO_CLIENT, 1)
    counter.reset()
    counter.passed(number, TO_SERVER, 1)
    counter.passed(number, TO_CLIENT, 1)
    assert counter.counts().round_trips == 1


def test_after_a_reset_the_first_chunk_is_a_turn_even_in_the_same_direction() -> None:
    counter = Counter()
    number = counter.opened()
    counter.passed(number, TO_SERVER, 1)
    counter.reset()
    counter.passed(number, TO_SERVER, 1)
    assert counter.counts().round_trips == 0.5


def test_a_chunk_arrives_when_it_is_due_and_not_before() -> None:
    line = DelayLine()
    line.put(1.0, b"a")
    assert line.take(0.9) == []
    assert line.take(1.0) == [b"a"]
    assert line.next_due is None


def test_the_end_of_the_stream_waits_for_its_turn() -> None:
    line = DelayLine()
    line.put(1.0, b"a")
    line.put(2.0, None)
    assert line.take(1.5) == [b"a"]
    assert line.take(2.0) == [None]


@given(st.lists(st.tuples(st.floats(0, 10), st.binary(max_size=4)), max_size=20), st.lists(st.floats(0, 10)))
def test_order_is_kept_and_nothing_is_lost_whatever_the_due_times(
    sent: list[tuple[float, bytes]], looks: list[float]
) -> None:
    line = DelayLine()
    for due, chunk in sent:
        line.put(due, chunk)
    arrived = [chunk for now in [*sorted(looks), 11.0] for chunk in line.take(now)]
    assert arrived == [chunk for _, chunk in sent]
    assert line.buffered == 0


def run(test: Callable[[asyncio.AbstractEventLoop], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(asyncio.wait_for(test(runner.get_loop()), 20))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("quick_ack", [False, True])
def test_bytes_go_through_in_both_directions_and_the_end_too(tmp_path: Path, quick_ack: bool) -> None:
    async def through(loop: asyncio.AbstractEventLoop) -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy = Proxy(loop, f"tcp:127.0.0.1:{port}", 0.002, quick_ack=quick_ack)
        front = await proxy.listen("tcp:127.0.0.1:0")
        reader, writer = await asyncio.open_connection(*front.sockets[0].getsockname())
        message = bytes(range(256)) * 4096
        writer.write(message)
        writer.write_eof()
        assert await reader.read() == message
        counts = proxy.counter.counts()
        assert counts.connections == 1
        assert counts.bytes_to_server == counts.bytes_to_client == len(message)
        writer.close()
        server.close()
        front.close()

    run(through)


def test_round_trips_are_counted_through_unix_sockets(tmp_path: Path) -> None:
    async def through(loop: asyncio.AbstractEventLoop) -> None:
        server = await asyncio.start_unix_server(echo, tmp_path / "server")
        proxy = Proxy(loop, f"unix:{tmp_path}/server", 0.0)
        front = await proxy.listen(f"unix:{tmp_path}/front")
        control = await proxy.listen_for_control(str(tmp_path / "control"))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "front"))
        for _ in range(7):
            writer.write(b"question")
            await reader.readexactly(8)
        before = await asyncio.to_thread(ask, tmp_path / "control", "reset")
        after = await asyncio.to_thread(ask, tmp_path / "control", "rtt 12.5")
        assert before.round_trips == 1 + 7
        assert after.round_trips == 0
        assert proxy.rtt == 0.0125
        writer.close()
        for listener in (server, front, control):
            listener.close()

    run(through)


def test_a_refused_onward_connection_ends_the_clients(tmp_path: Path) -> None:
    async def through(loop: asyncio.AbstractEventLoop) -> None:
        proxy = Proxy(loop, f"unix:{tmp_path}/nobody", 0.0)
        front = await proxy.listen(f"unix:{tmp_path}/front")
        reader, _ = await asyncio.open_unix_connection(str(tmp_path / "front"))
        with contextlib.suppress(ConnectionError):
            assert not await reader.read()
        front.close()

    run(through)


def test_a_broken_connection_is_passed_on() -> None:
    async def through(loop: asyncio.AbstractEventLoop) -> None:
        ended = asyncio.Event()

        async def wait_for_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            ended.set()
            writer.close()

        server = await asyncio.start_server(wait_for_the_end, "127.0.0.1", 0)
        proxy = Proxy(loop, f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}", 0.0)
        front = await proxy.listen("tcp:127.0.0.1:0")
        client = socket.create_connection(front.sockets[0].getsockname())
        await asyncio.sleep(0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        await ended.wait()
        server.close()
        front.close()

    run(through)
