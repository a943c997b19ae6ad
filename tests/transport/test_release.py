"""What a connection that ended leaves behind: its TLS is freed at once, and nothing stays once garbage is collected.

The memory of TLS is the C library's, and the garbage collector does not count it: in a reference cycle it would wait
for a full collection, which in a process as large as ``srad`` comes after some hundred connections.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import heapq
import logging
import ssl
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from sra.errors import LinkError, RefusedError
from sra.piv.keys import Algorithm, KeyRequest, Operation, PinRequest, Slot
from sra.transport import listener, tls_trust
from sra.transport.stream import join, open_stream
from sra.wire.messages import SCREEN_ALPN, Hello
from tests.admin.connecting import connect
from tests.loopback import DEADLINE, HOST, dial, dial_raw, until
from tests.memory_card import PIN, MemoryCard
from tests.memory_remote import MemoryRemote, running_remote
from tests.piv_blocks import signing_input
from tests.transport.test_stream import house, pair

TIMES = 20
"""Whatever stays of each connection is there so many times."""
Visit = Callable[[MemoryRemote], Awaitable[None]]


async def serve(remote: MemoryRemote) -> None:
    """A connection as it should be, with a key use."""
    card = MemoryCard()
    remote.accounts.pair(card, "ann")
    session = await connect(remote.port, card)
    await session.insert({Slot.AUTHENTICATION})
    link = remote.readers[0].link
    await link.check_pin(PinRequest(PIN))
    text = signing_input(Algorithm.P256, b"text")
    await link.use_key(KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, text))
    await session.close("bye")


async def break_off(remote: MemoryRemote) -> None:
    """A connection whose link breaks while the card is in."""
    card = MemoryCard()
    remote.accounts.pair(card, "ann")
    session = await connect(remote.port, card)
    await session.insert({Slot.AUTHENTICATION})
    session.channel.abort(LinkError("The link broke."))
    await session.close("bye")
    await remote.readers[0].until_present(present=False)


async def come_unpaired(remote: MemoryRemote) -> None:
    """A card that opens no account."""
    with pytest.raises(RefusedError):
        await connect(remote.port, MemoryCard(owner="bob"))


async def speak_another_version(remote: MemoryRemote) -> None:
    """An admin of the future."""
    channel = await dial(remote.port)
    with pytest.raises(RefusedError):
        await channel.ask(Hello((99,), bytes(32), b""), DEADLINE)
    await channel.close("bye")


async def say_nothing_in_tls(remote: MemoryRemote) -> None:
    """A stranger that is gone after the handshake."""
    _, writer = await dial_raw(remote.port)
    writer.transport.abort()


async def speak_no_tls(remote: MemoryRemote) -> None:
    """A stranger that takes the port for another one."""
    reader, writer = await asyncio.open_connection(HOST, remote.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    with suppress(ConnectionError):
        await reader.read()
    writer.close()


async def hang_up(remote: MemoryRemote) -> None:
    """A stranger that only looks whether the port is open."""
    _, writer = await asyncio.open_connection(HOST, remote.port)
    writer.close()


async def wait(remote: MemoryRemote) -> None:
    """A stranger that begins no handshake until it is cut off."""
    reader, writer = await asyncio.open_connection(HOST, remote.port)
    with suppress(ConnectionError):
        await reader.read()
    writer.close()


class Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` (mallinfo(3))."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def native_bytes() -> int:
    """What the C library has lent in all: what OpenSSL uses, and Python's larger objects."""
    gc.collect()
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = Mallinfo
    return int(library.mallinfo2().uordblks)


def python_bytes() -> int:
    """What Python's objects take, while tracemalloc counts them."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


VISITS = (
    serve, break_off, come_unpaired, speak_another_version, say_nothing_in_tls, speak_no_tls, hang_up, wait,
)  # fmt: skip


def tls_objects() -> int:
    return sum(isinstance(each, ssl.SSLObject) for each in gc.get_objects())


def our_objects() -> Counter[str]:
    """All connections that there are, and what they are made of, by class, and the tasks."""
    kinds = [type(each) for each in gc.get_objects()]
    ours = [kind for kind in kinds if kind.__module__.startswith("sra.transport.") or kind is asyncio.Task]
    return Counter(kind.__qualname__ for kind in ours)


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Meanwhile an object goes when nothing refers to it, and by no other cause."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture(autouse=True)
def _unlogged() -> Iterator[None]:
    """Pytest keeps every record until a test is over, and the errors that it has with it."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.__name__)
async def test_whoever_came_to_a_remote_leaves_nothing(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TLS_DEADLINE", 0.05 if visit is wait else DEADLINE)
    async with running_remote() as remote:
        await visit(remote)
        await remote.until_no_strangers()
        with nothing_collected():
            tls, ours = tls_objects(), our_objects()
            for _ in range(TIMES):
                await visit(remote)
            await remote.until_no_strangers()
            await until(lambda: tls_objects() <= tls)
        gc.collect()
        assert our_objects() - ours == Counter()


async def test_a_stream_that_was_joined_leaves_no_tls() -> None:
    async with house() as there:
        channel = await dial(there.port)

        async def visit() -> None:
            context = tls_trust.client_context(None, [SCREEN_ALPN])
            viewer = await open_stream(channel, there.port, context, server_name="localhost", deadline=DEADLINE)
            screen, server = await pair()
            join(await there.stream(), screen)
            server.close()
            await viewer.wait_ended()
            there.streams.clear()

        await visit()
        with nothing_collected():
            before = tls_objects()
            for _ in range(TIMES):
                await visit()
            await until(lambda: tls_objects() <= before)
        await channel.close("bye")


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["nothing", "another protocol"])
async def test_a_connection_that_never_came_about_leaves_no_tls(said: bytes) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(talk, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        with nothing_collected():
            before = tls_objects()
            for _ in range(TIMES):
                with pytest.raises(LinkError):
                    await dial(port)
            await until(lambda: tls_objects() <= before)


def forget_cancelled_timers() -> None:
    """The event loop does it by itself, but only once there are a hundred."""
    loop: Any = asyncio.get_running_loop()
    loop._scheduled = [each for each in loop._scheduled if not each.cancelled()]
    heapq.heapify(loop._scheduled)
    loop._timer_cancelled_count = 0


async def bytes_that_stay(measure: Callable[[], int], visit: Visit) -> float:
    """Of each visit, once the first ones have filled what is kept for the next: neither time nor pages count here."""
    async with running_remote() as remote:
        taken = []
        for _ in range(2):
            for _ in range(MANY):
                await visit(remote)
            await remote.until_no_strangers()
            for noted in (remote.records.lines, remote.accounts.asked, remote.accounts.paired, remote.checked):
                noted.clear()
            forget_cancelled_timers()
            taken.append(measure())
    return (taken[1] - taken[0]) / MANY


MANY = 45
"""Twice as many insertions are within the rate of them (``sra.wire.rates``)."""
MOST_BYTES = 1024
"""Of a visit; what the first visits fill is not quite full, which makes up to some hundred bytes."""


async def python_and_native_bytes_that_stay(visit: Visit) -> list[float]:
    native = await bytes_that_stay(native_bytes, visit)
    tracemalloc.start()
    try:
        return [native, await bytes_that_stay(python_bytes, visit)]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("visit", [serve, speak_no_tls], ids=lambda visit: visit.__name__)
async def test_a_visit_leaves_no_bytes(visit: Visit) -> None:
    assert max(await python_and_native_bytes_that_stay(visit)) < MOST_BYTES


async def test_two_kibibytes_that_stay_of_each_visit_are_noticed() -> None:
    kept = []

    async def leak(remote: MemoryRemote) -> None:
        await serve(remote)
        kept.append(bytes(2048))

    assert min(await python_and_native_bytes_that_stay(leak)) > MOST_BYTES
