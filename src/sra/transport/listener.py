"""A TLS listener that strangers can't exhaust: it counts them before they cost a handshake."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from sra.errors import LinkError
from sra.transport.channel import Channel
from sra.transport.handshake_failures import released
from sra.transport.stream import Stream
from sra.wire.connection import Connection
from sra.wire.messages import SCREEN_ALPN

TLS_DEADLINE = 5.0
"""Seconds for a TLS handshake."""
BACKLOG = 128
RETRY_ACCEPT = 0.2
"""Seconds to wait when the process has no file descriptors left."""
MAX_ADDRESSES = 4096
"""Addresses whose arrivals are remembered; past that the oldest are forgotten."""

log = logging.getLogger("sra.link")


@dataclass(frozen=True)
class Limits:
    """What strangers may use up."""

    strangers: int = 64
    """Connections that have not authenticated yet."""
    per_address: int = 20
    """New connections of one address (IPv6: of one /64) within ``period``."""
    period: float = 10.0
    """Seconds."""
    waiting_per_address: int = 16
    """Strangers of one address at a time: it can't keep all the others out by never proving anything."""


class Gate:
    """Counts strangers, all and by address. No I/O: the time is passed in."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._strangers: collections.Counter[str] = collections.Counter()
        self._arrivals: collections.OrderedDict[str, collections.deque[float]] = collections.OrderedDict()

    def enter(self, address: str, now: float) -> bool:
        """Whether one more stranger from ``address`` may come in; if so, ``leave`` has to follow."""
        origin = network(address)
        arrivals = self._arrivals.setdefault(origin, collections.deque())
        self._arrivals.move_to_end(origin)
        while len(self._arrivals) > MAX_ADDRESSES:
            self._arrivals.popitem(last=False)
        while arrivals and arrivals[0] <= now - self._limits.period:
            arrivals.popleft()
        if len(arrivals) >= self._limits.per_address or self._is_full(origin):
            return False
        arrivals.append(now)
        self._strangers[origin] += 1
        return True

    def _is_full(self, origin: str) -> bool:
        limits = self._limits
        return self._strangers.total() >= limits.strangers or self._strangers[origin] >= limits.waiting_per_address

    def leave(self, address: str) -> None:
        """One stranger from ``address`` has authenticated, or is gone."""
        self._strangers -= collections.Counter([network(address)])


def network(address: str) -> str:
    """Whom an address is counted with: an IPv6 host has a whole /64 to itself."""
    if ":" not in address or address.startswith("::ffff:"):
        return address
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return packed[:8].hex()


Welcome = Callable[[Channel, Callable[[], None]], Awaitable[None]]
"""Called with each new channel and a function to be called once when it is no stranger any more."""


StreamWelcome = Callable[[Stream, Callable[[], None]], Awaitable[None]]
"""The same for a stream. It is closed when this returns."""


class _Arrival(asyncio.Protocol):
    """Becomes a channel or a stream as soon as the handshake has said which it is to be."""

    def __init__(self, connection: Callable[[], Connection], address: str) -> None:
        self._connection = connection
        self._address = address
        self.became: Channel | Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the transport over. A session is ``sra/1``, or said nothing; the context takes nothing else."""
        tls = transport.get_extra_info("ssl_object")
        is_stream = tls.selected_alpn_protocol() == SCREEN_ALPN
        self.became = Stream() if is_stream else Channel(self._connection(), self._address)
        cast("asyncio.Transport", transport).set_protocol(self.became)
        self.became.connection_made(transport)


class Listener:
    """Listens on one address and passes every TLS connection on; a context that offers streams needs their welcome."""

    def __init__(
        self,
        context: ssl.SSLContext,
        connection: Callable[[], Connection],
        gate: Gate,
        welcome: Welcome,
        stream_welcome: StreamWelcome | None = None,
    ) -> None:
        self._context = context
        self._connection = connection
        self._gate = gate
        self._welcome = welcome
        self._stream_welcome = stream_welcome
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, addresses: tuple[str, ...], port: int) -> int:
        """Listen on every address; the port that it became, where ``port`` is 0."""
        try:
            for address in addresses:
                self._sockets.append(_listen(address, port))
                port = self._sockets[-1].getsockname()[1]
        except OSError as error:
            await self.close()
            raise LinkError(f"Can't listen on {address} port {port}: {error.strerror}.") from error
        for listening in self._sockets:
            self._spawn(self._accept(listening))
        return port

    async def close(self) -> None:
        """Stop listening and end every connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.warning("no connection can be accepted: %s", error.strerror)
                    await asyncio.sleep(RETRY_ACCEPT)
                continue
            address = str(peer[0])
            if self._gate.enter(address, loop.time()):
                self._spawn(self._greet(accepted, address))
            else:
                log.warning("%s: too many connections; this one is refused", address)
                accepted.close()

    async def _greet(self, accepted: socket.socket, address: str) -> None:
        leave = _once(lambda: self._gate.leave(address))
        try:
            arrived = await self._handshake(accepted, address)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            log.info("%s: no TLS connection: %s", address, getattr(error, "reason", None) or error)
        else:
            await (self._pass_on(arrived, leave) if isinstance(arrived, Stream) else self._serve(arrived, leave))
        finally:
            leave()
            accepted.close()

    async def _pass_on(self, stream: Stream, leave: Callable[[], None]) -> None:
        try:
            if self._stream_welcome is not None:
                await self._stream_welcome(stream, leave)
        except Exception:
            log.exception("%s: the stream failed", stream.peer_address)
        finally:
            stream.close()
            with contextlib.suppress(asyncio.CancelledError):
                await stream.wait_ended()

    async def _serve(self, channel: Channel, leave: Callable[[], None]) -> None:
        goodbye = "The service is stopping."
        try:
            await self._welcome(channel, leave)
        except Exception:
            log.exception("%s: the connection failed", channel.name)
            goodbye = "An error inside the service; its log has more."
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await channel.close(goodbye)

    async def _handshake(self, accepted: socket.socket, address: str) -> Channel | Stream:
        accepted.setblocking(False)
        with released():
            _, arrival = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Arrival(self._connection, address),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=TLS_DEADLINE,
            )
        if arrival.became is None:
            raise OSError(errno.ECONNRESET, "the connection ended at once")
        return arrival.became


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    # With its protocol by number, or asyncio does not know that it may turn Nagle's algorithm off: 40 ms now and then.
    listening = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _once(action: Callable[[], None]) -> Callable[[], None]:
    pending = [action]

    def run() -> None:
        if pending:
            pending.pop()()

    return run
