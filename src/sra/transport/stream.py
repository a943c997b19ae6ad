"""A stream of bytes that is passed on unread: two ends that are joined, each read no faster than the other takes it.

A screen's stream is one of these over TLS, joined to one over a local socket.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from sra.errors import LinkError
from sra.transport.channel import Channel, peer_of, released

MAX_EARLY = 64 * 1024
"""Bytes that may come in before there is another end to pass them on to."""
LOW_WATER, HIGH_WATER = 64 * 1024, 256 * 1024
"""Bytes waiting to be sent at which the other end is read again, and no more: a few times what one read brings."""
DRAIN_TIME = 2.0
"""Seconds that the last bytes may take to leave."""


class Stream(asyncio.Protocol):
    """One end. ``received`` counts its bytes; ``ended_first`` tells whether it was this one that ended the two."""

    def __init__(self) -> None:
        self.received = 0
        self.ended_first = False
        self.is_full = False
        self.peer_address = ""
        self.peer_certificate = b""
        """The certificate that the peer showed in the handshake (DER), empty if none."""
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()
        self._arrived = asyncio.Event()
        self._other: Stream | None = None
        self._is_closing = False
        self._draining: asyncio.TimerHandle | None = None
        self._lost = asyncio.get_running_loop().create_future()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; TLS is up by now."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        self.peer_address, self.peer_certificate = peer_of(transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on at once, or keep it until there is another end to pass it on to."""
        self.received += len(data)
        if self._other is not None:
            self._other.write(data)
            return
        self._early += data
        self._arrived.set()
        if len(self._early) > MAX_EARLY:
            self.pause()

    def pause_writing(self) -> None:
        """Too much waits to be sent: the other end is not read meanwhile."""
        self.is_full = True
        if self._other is not None:
            self._other.pause()

    def resume_writing(self) -> None:
        """Most of it has left."""
        self.is_full = False
        if self._other is not None:
            self._other.resume()

    def eof_received(self) -> bool:
        """No more comes: both ends are closed, after what was received has left."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other one too. The transport is let go: the two ends know each other, so they are collected late."""
        self._transport = None
        self.ended_first = not self._is_closing
        self._is_closing = True
        self._arrived.set()
        if self._draining is not None:
            self._draining.cancel()
        if self._other is not None:
            self._other.close()
        if not self._lost.done():
            self._lost.set_result(None)

    # What the rooms above call.

    async def read(self, size: int, deadline: float) -> bytes:
        """The first ``size`` bytes; ``LinkError`` if they don't come within ``deadline`` seconds."""
        try:
            async with asyncio.timeout(deadline):
                while len(self._early) < size:
                    if self._lost.done():
                        raise LinkError("The stream ended before it began.")
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise LinkError(f"Nothing was heard for {deadline:g} s.") from None
        self.received -= size
        first = bytes(self._early[:size])
        del self._early[:size]
        return first

    def write(self, data: bytes) -> None:
        """Send it; nothing happens once the end is closed."""
        if self._transport is not None and not self._is_closing:
            self._transport.write(data)

    def lead_to(self, other: Stream) -> None:
        """From now on, what comes in here goes out there; ``join`` does it for both."""
        self._other = other
        if self._early:
            other.write(bytes(self._early))
            self._early.clear()
        if self._lost.done():
            other.close()
        elif not other.is_full:
            self.resume()

    def pause(self) -> None:
        """Don't read for now."""
        if self._transport is not None and not self._is_closing:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._is_closing:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close this end after what was written has left, but wait for no peer that does not read."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._transport is not None:
            self._transport.close()
            self._draining = self._lost.get_loop().call_later(DRAIN_TIME, self._transport.abort)

    def abort(self) -> None:
        """Close this end at once."""
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()

    async def wait_ended(self) -> None:
        """Return when this end is closed."""
        await asyncio.shield(self._lost)


def join(one: Stream, other: Stream) -> None:
    """What comes in at one end goes out at the other, until one of them ends; then both do."""
    one.lead_to(other)
    other.lead_to(one)


async def open_stream(
    channel: Channel, port: int, context: ssl.SSLContext, *, server_name: str, deadline: float
) -> Stream:
    """Another TLS connection to the very machine that ``channel`` leads to; raise ``LinkError``.

    The same address, since what is granted to one is not granted to another, and the same certificate: whether it is
    to be trusted was decided when the channel was opened.
    """
    try:
        with released():
            async with asyncio.timeout(deadline):
                _, stream = await asyncio.get_running_loop().create_connection(
                    Stream, channel.peer_address, port, ssl=context, server_hostname=server_name
                )
    except (OSError, TimeoutError) as error:
        raise LinkError(f"The remote takes no stream: {getattr(error, 'strerror', None) or error}.") from error
    if stream.peer_certificate != channel.peer_certificate:
        stream.abort()
        raise LinkError("The remote showed another certificate for the stream than for the session.")
    return stream
