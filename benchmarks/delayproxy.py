"""A TCP and UNIX socket proxy that adds a fixed round-trip time and counts round trips.

Each chunk read from one side is delivered to the other half a round trip after it was read. Every chunk has its own due
time, so a new one is accepted while earlier ones are in flight. Setting a connection up costs what TCP's handshake
would: the onward connection is opened 1.5 round trips after the client's, and bytes that the client wrote before the
handshake would have ended count from its end.

Timers use select()'s microsecond time-outs: epoll in CPython rounds up to 1 ms.

``turns`` counts changes of direction. A question and its answer are one turn in each direction, whichever side asks.

    python -m benchmarks.delayproxy --listen tcp:127.0.0.1:7001 --connect unix:/run/b.sock --rtt 20 --control /run/ctl

The control socket takes lines (``stats``, ``reset``, ``rtt MILLISECONDS``) and answers each with a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import itertools
import json
import selectors
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

MAX_BUFFERED = 16 << 20
"""Bytes in flight one way before reading stops: more than any bandwidth-delay product that is measured here."""

TIMER_SLACK = 5e-6
"""Seconds: a chunk that is due within this is delivered now, since a timer of that length would fire later still."""


class Way(Enum):
    """The direction in which bytes travel."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"

    @property
    def back(self) -> Way:
        """The other direction."""
        return Way.TO_CLIENT if self is Way.TO_SERVER else Way.TO_SERVER


@dataclass(frozen=True)
class Counts:
    """What has gone through the proxy since the last reset."""

    connections: int
    turns_to_server: int
    turns_to_client: int
    bytes_to_server: int
    bytes_to_client: int

    @property
    def round_trips(self) -> float:
        """Sequential round trips: one for each TCP handshake, half of one for each change of direction."""
        return self.connections + (self.turns_to_server + self.turns_to_client) / 2


class Counter:
    """Counts connections, bytes, and turns: the changes of direction within each connection."""

    def __init__(self) -> None:
        self._last: dict[int, Way] = {}
        self._numbers = itertools.count()
        self.reset()

    def reset(self) -> None:
        """Start from nothing: the next chunk of an open connection is a turn, whichever way it goes."""
        self._last.clear()
        self._connections = 0
        self._turns = dict.fromkeys(Way, 0)
        self._bytes = dict.fromkeys(Way, 0)

    def opened(self) -> int:
        """Count a new connection; its number, for the other calls."""
        self._connections += 1
        return next(self._numbers)

    def passed(self, connection: int, way: Way, size: int) -> None:
        """Count ``size`` bytes of a connection going one way."""
        if self._last.get(connection) is not way:
            self._last[connection] = way
            self._turns[way] += 1
        self._bytes[way] += size

    def closed(self, connection: int) -> None:
        """Forget the connection's direction."""
        self._last.pop(connection, None)

    def counts(self) -> Counts:
        """What was counted since the last reset."""
        return Counts(
            self._connections,
            self._turns[Way.TO_SERVER],
            self._turns[Way.TO_CLIENT],
            self._bytes[Way.TO_SERVER],
            self._bytes[Way.TO_CLIENT],
        )


class DelayLine:
    """Chunks on their way, each with the time at which it arrives; ``None`` is the end of the stream.

    Times are seconds of any clock that does not go back.
    """

    def __init__(self) -> None:
        self._queue: collections.deque[tuple[float, bytes | None]] = collections.deque()
        self.buffered = 0

    def put(self, due: float, chunk: bytes | None) -> None:
        """Send a chunk off; it never overtakes an earlier one, not even when the round-trip time was lowered."""
        if self._queue:
            due = max(due, self._queue[-1][0])
        self._queue.append((due, chunk))
        self.buffered += len(chunk or b"")

    def take(self, now: float) -> list[bytes | None]:
        """The chunks that have arrived, in order."""
        arrived = []
        while self._queue and self._queue[0][0] <= now + TIMER_SLACK:
            chunk = self._queue.popleft()[1]
            self.buffered -= len(chunk or b"")
            arrived.append(chunk)
        return arrived

    @property
    def next_due(self) -> float | None:
        """When the next chunk arrives, or ``None`` if nothing is on its way."""
        return self._queue[0][0] if self._queue else None

    def clear(self) -> None:
        """Lose everything that is on its way."""
        self._queue.clear()
        self.buffered = 0


class Pipe:
    """One direction of one connection: a delay line between two transports."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._line = DelayLine()
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self.source: asyncio.Transport | None = None
        self.target: asyncio.Transport | None = None
        self._broken = False
        self.not_before = 0.0

    def feed(self, chunk: bytes | None) -> None:
        """Send a chunk (or the end) off to the other side."""
        self._line.put(max(self._proxy.loop.time(), self.not_before) + self._proxy.rtt / 2, chunk)
        self.pump()

    def join(self, target: asyncio.Transport) -> None:
        """Deliver to this transport from now on."""
        if self._broken:
            target.abort()
            return
        self.target = target
        self.pump()

    def pump(self) -> None:
        """Deliver what has arrived, and come back when the next chunk does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.target is not None:
            for chunk in self._line.take(self._proxy.loop.time()):
                _deliver(self.target, chunk)
            if self._line.next_due is not None:
                self._timer = self._proxy.loop.call_at(self._line.next_due, self.pump)
        self._hold_back()

    def close(self) -> None:
        """The target is gone."""
        self.target = None
        self._line.clear()

    def abort_target(self) -> None:
        """Pass a reset on after the one-way delay, or as soon as there is somebody to pass it on to."""
        self._broken = True
        if self.target is not None:
            self._proxy.loop.call_later(self._proxy.rtt / 2, self.target.abort)

    def _hold_back(self) -> None:
        full = self._line.buffered > MAX_BUFFERED
        if self.source is None or full == self._paused:
            return
        self._paused = full
        if full:
            self.source.pause_reading()
        else:
            self.source.resume_reading()


def _deliver(target: asyncio.Transport, chunk: bytes | None) -> None:
    if chunk is not None:
        target.write(chunk)
    elif target.can_write_eof():
        with contextlib.suppress(OSError):
            target.write_eof()
    else:
        target.close()


def _unused(path: str) -> str:
    Path(path).unlink(missing_ok=True)
    return path


class Connection:
    """The two directions of one proxied connection."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.pipes = {way: Pipe(proxy) for way in Way}
        self.number = proxy.counter.opened()


class Side(asyncio.Protocol):
    """One end of a proxied connection; ``way`` is where the bytes that it receives go."""

    def __init__(self, connection: Connection, way: Way) -> None:
        self._connection = connection
        self._way = way
        self._quick: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the pipes; the client's side also opens the way onward."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a proxy needs stream transports")
        self._set_options(transport)
        self._out.source = transport
        self._in.join(transport)
        if self._way is Way.TO_SERVER:
            self._dial_later()

    def data_received(self, data: bytes) -> None:
        """Count the bytes and send them off."""
        if self._quick is not None:
            self._quick.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._connection.proxy.counter.passed(self._connection.number, self._way, len(data))
        self._out.feed(data)

    def eof_received(self) -> bool:
        """Send the end off; the other direction stays open."""
        self._out.feed(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop delivering here, and pass a reset on."""
        self._in.close()
        self._connection.proxy.counter.closed(self._connection.number)
        if exc is not None:
            self._out.abort_target()

    @property
    def _out(self) -> Pipe:
        return self._connection.pipes[self._way]

    @property
    def _in(self) -> Pipe:
        return self._connection.pipes[self._way.back]

    def _set_options(self, transport: asyncio.Transport) -> None:
        sock: socket.socket = transport.get_extra_info("socket")
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._connection.proxy.quick_ack:  # so that a peer with Nagle on is not held up by 40 ms
            self._quick = sock
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _dial_later(self) -> None:
        proxy = self._connection.proxy
        self._out.not_before = proxy.loop.time() + proxy.rtt
        proxy.loop.call_later(1.5 * proxy.rtt, lambda: proxy.spawn(self._dial()))

    async def _dial(self) -> None:
        proxy = self._connection.proxy
        try:
            await proxy.open(lambda: Side(self._connection, Way.TO_CLIENT))
        except OSError as error:
            print(f"delayproxy: the onward connection failed: {error}", file=sys.stderr)
            if self._out.source is not None:
                self._out.source.abort()


class Proxy:
    """Listens at one address and connects onward to another, ``rtt`` seconds away.

    Addresses are ``tcp:HOST:PORT`` or ``unix:PATH``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, onward: str, rtt: float, *, quick_ack: bool = False) -> None:
        self.loop = loop
        self.rtt = rtt
        self.quick_ack = quick_ack
        self.counter = Counter()
        self._onward = onward
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: collections.abc.Coroutine[None, None, None]) -> None:
        """Run it beside the rest, and keep hold of it until it has ended."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def open(self, factory: collections.abc.Callable[[], Side]) -> None:
        """Open the onward connection."""
        kind, _, rest = self._onward.partition(":")
        if kind == "unix":
            await self.loop.create_unix_connection(factory, rest)
            return
        host, _, port = rest.rpartition(":")
        await self.loop.create_connection(factory, host, int(port))

    async def listen(self, address: str) -> asyncio.Server:
        """Listen for clients."""
        kind, _, rest = address.partition(":")
        if kind == "unix":
            return await self.loop.create_unix_server(self._accept, _unused(rest))
        host, _, port = rest.rpartition(":")
        return await self.loop.create_server(self._accept, host, int(port), backlog=2048)

    async def listen_for_control(self, path: str) -> asyncio.Server:
        """Listen for control lines."""
        return await asyncio.start_unix_server(self._control, _unused(path))

    def _accept(self) -> Side:
        return Side(Connection(self), Way.TO_SERVER)

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(asdict(self._obey(line.decode().split()))).encode() + b"\n")
            await writer.drain()
        writer.close()

    def _obey(self, words: list[str]) -> Counts:
        counts = self.counter.counts()
        if words == ["reset"]:
            self.counter.reset()
        elif len(words) == 2 and words[0] == "rtt":
            self.rtt = float(words[1]) / 1000
        return counts


def ask(control: Path, line: str) -> Counts:
    """Send a line to a proxy's control socket; the counts as they were before it took effect."""
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile() as answers:
        connection.connect(str(control))
        connection.sendall(line.encode() + b"\n")
        return Counts(**json.loads(answers.readline()))


def main() -> None:
    """Run a proxy until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A proxy that adds a round-trip time.")
    parser.add_argument("--listen", required=True)
    parser.add_argument("--connect", required=True)
    parser.add_argument("--rtt", type=float, default=0.0, help="milliseconds")
    parser.add_argument("--control")
    parser.add_argument("--quick-ack", action="store_true", help="acknowledge every TCP segment at once")
    options = parser.parse_args()
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    asyncio.set_event_loop(loop)
    proxy = Proxy(loop, options.connect, options.rtt / 1000, quick_ack=options.quick_ack)
    servers = [loop.run_until_complete(proxy.listen(options.listen))]
    if options.control:
        servers.append(loop.run_until_complete(proxy.listen_for_control(options.control)))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, loop.stop)
    loop.run_forever()
    for server in servers:
        server.close()


if __name__ == "__main__":
    main()
