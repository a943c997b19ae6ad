"""A TLS listener that strangers can't exhaust: it counts them before they cost a handshake."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from sra.errors import LinkError
from sra.transport.channel import Channel, released
from sra.transport.gate import Gate, Stranger, origins_of
from sra.transport.stream import Stream
from sra.wire.connection import Connection
from sra.wire.messages import SCREEN_ALPN

TLS_DEADLINE = 5.0
"""Seconds for a TLS handshake."""
SHUTDOWN_TIME = 1.0
"""Seconds for the peer to take notice that TLS ends."""
BACKLOG = 1024
"""Connections that wait in the kernel while this process is busy; the kernel may allow fewer."""
BATCH = 64
"""Connections that are taken at once before anything else gets its turn."""
REFUSALS_TOLD = 10.0
"""Seconds between two lines about refused connections."""
CROWDED = "Too many connections wait here to be let in, and this one had to make room: connect again."
RETRY_ACCEPT = 0.2
"""Seconds to wait when the process has no file descriptors left."""

log = logging.getLogger("sra.link")


class StrangerPlace:
    """A stranger's place, to be called once it is no stranger any more."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._serving: asyncio.Task[None] | None = None
        self._stranger: Stranger | None = None
        self.is_lost = False
        """It was given to another one."""
        self.has_begun = False
        """The connection has a transport, which closes it."""

    def enter(self, origins: tuple[str, ...], now: float) -> bool:
        """Whether there is room."""
        self._stranger = self._gate.enter(origins, now, self._put_out)
        return self._stranger is not None

    def serve(self, serving: asyncio.Task[None]) -> None:
        """Note the task that is ended if the place is lost."""
        self._serving = serving

    def recognise(self, key: bytes) -> None:
        """Note the card's public key that the stranger has shown; it has not proven anything by that."""
        if self._stranger is not None:
            self._gate.recognise(self._stranger, key)

    def __call__(self) -> None:
        """Give the place back; only the first call counts."""
        if self._stranger is not None:
            self._gate.leave(self._stranger)
            self._stranger = None

    def end(self, accepted: socket.socket) -> None:
        """Give the place back, and close the connection if it was put out before it had a transport.

        Where there is one, its number must stay taken until it is done with it: another connection would get it.
        """
        self()
        if not self.has_begun:
            accepted.close()

    def _put_out(self) -> None:
        self._stranger = None
        self.is_lost = True
        if self._serving is not None:
            self._serving.cancel()


Origins = Callable[[socket.socket, str], tuple[str, ...]]
"""Whom a connection from an address is counted with, from the widest group on."""

WelcomeChannel = Callable[[Channel, StrangerPlace], Awaitable[None]]
"""Called with each new channel and its place, to be given back when it is no stranger any more."""

WelcomeStream = Callable[[Stream, StrangerPlace], Awaitable[None]]
"""The same for a stream. It is closed when this returns."""


def by_address(_: socket.socket, address: str) -> tuple[str, ...]:
    """Count a connection with its network address."""
    return origins_of(address)


class _Arrival(asyncio.Protocol):
    """Becomes a channel or a stream as soon as the handshake has said which it is to be."""

    def __init__(self, connection: Callable[[], Connection], address: str) -> None:
        self._connection = connection
        self._address = address
        self.became: Channel | Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the transport over to what the peer has asked for, or close it.

        It may have offered other protocols only, which ``ssl`` can neither refuse in the handshake (RFC 7301, 3.2)
        nor tell from none.
        """
        tls = transport.get_extra_info("ssl_object")
        protocol = tls.selected_alpn_protocol()
        if protocol is None:
            transport.close()
            return
        self.became = Stream() if protocol == SCREEN_ALPN else Channel(self._connection(), self._address)
        cast("asyncio.Transport", transport).set_protocol(self.became)
        self.became.connection_made(transport)


class Listener:
    """Listens on one address and passes every TLS connection on; a context that offers streams needs their welcome."""

    def __init__(
        self,
        context: ssl.SSLContext,
        connection: Callable[[], Connection],
        gate: Gate,
        welcome: WelcomeChannel,
        stream_welcome: WelcomeStream | None = None,
        origins: Origins = by_address,
    ) -> None:
        self._context = context
        self._connection = connection
        self._gate = gate
        self._welcome = welcome
        self._stream_welcome = stream_welcome
        self._origins = origins
        self._refusals = _Refusals()
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

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
            self._admit_or_close(accepted, str(peer[0]), loop.time())
            self._accept_waiting(listening, loop.time())
            await asyncio.sleep(0)  # ``sock_accept`` lets nobody else run while a flood keeps the queue filled

    def _accept_waiting(self, listening: socket.socket, now: float) -> None:
        """Take what else waits in the kernel: when a flood has filled its queue, it drops the packets of admins too."""
        for _ in range(BATCH):
            try:
                accepted, peer = listening.accept()
            except OSError:  # most often there is none; any other error meets ``_accept`` again
                return
            self._admit_or_close(accepted, str(peer[0]), now)

    def _admit_or_close(self, accepted: socket.socket, address: str, now: float) -> None:
        """Admit the connection; what goes wrong with one of them must not keep this from accepting the next."""
        try:
            self._admit(accepted, address, now)
        except Exception:
            log.exception("%s: the connection is not taken", address)
            accepted.close()

    def _admit(self, accepted: socket.socket, address: str, now: float) -> None:
        place = StrangerPlace(self._gate)
        if not place.enter(self._origins(accepted, address), now):
            self._refusals.note(address, now)
            accepted.close()
            return
        serving = self._spawn(self._greet(accepted, address, place))
        serving.add_done_callback(lambda _: place.end(accepted))
        place.serve(serving)

    async def _greet(self, accepted: socket.socket, address: str, place: StrangerPlace) -> None:
        place.has_begun = True
        try:
            arrived = await self._handshake(accepted, address)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            log.info("%s: no TLS connection: %s", address, getattr(error, "reason", None) or error)
        else:
            await (self._pass_on(arrived, place) if isinstance(arrived, Stream) else self._serve(arrived, place))

    async def _pass_on(self, stream: Stream, place: StrangerPlace) -> None:
        try:
            if self._stream_welcome is not None:
                await self._stream_welcome(stream, place)
        except Exception:
            log.exception("%s: the stream failed", stream.peer_address)
        finally:
            stream.close()
            with contextlib.suppress(asyncio.CancelledError):
                await stream.wait_ended()

    async def _serve(self, channel: Channel, place: StrangerPlace) -> None:
        goodbye = "The service is stopping."
        try:
            await self._welcome(channel, place)
        except Exception:
            log.exception("%s: the connection failed", channel.name)
            goodbye = "An error inside the service; its log has more."
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await channel.close(CROWDED if place.is_lost else goodbye)

    async def _handshake(self, accepted: socket.socket, address: str) -> Channel | Stream:
        accepted.setblocking(False)
        with released():
            _, arrival = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Arrival(self._connection, address),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=TLS_DEADLINE,
                ssl_shutdown_timeout=SHUTDOWN_TIME,
            )
        if arrival.became is None:
            raise OSError(errno.ECONNRESET, "it ended at once, or speaks another protocol")
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


class _Refusals:
    """Tells of connections that are refused: of the first at once, of those after it in one line now and then."""

    def __init__(self) -> None:
        self._told = -REFUSALS_TOLD
        self._untold = 0

    def note(self, address: str, now: float) -> None:
        """One more was refused."""
        self._untold += 1
        if now - self._told >= REFUSALS_TOLD:
            log.warning("%s: too many connections; this one is refused (%d since the last line)", address, self._untold)
            self._told, self._untold = now, 0
