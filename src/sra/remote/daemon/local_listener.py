"""Port 4117, on the loopback address only: the virtual card processes come in here, by a secret.

A peer without the secret gets nothing, not even a refusal.
"""

from __future__ import annotations

import hmac
import logging
import ssl
from collections.abc import Callable

from sra.errors import LinkError, ProtocolError
from sra.remote.daemon.readers import Reader
from sra.remote.daemon.sessions import Sessions
from sra.transport.channel import Channel
from sra.transport.listener import Gate, Limits, Listener
from sra.wire.connection import Connection
from sra.wire.messages import Attach, Attached
from sra.wire.states import Role, State

ATTACH_DEADLINE = 2.0
"""Seconds for the secret: the peer is on this machine and has read it already."""
LIMITS = Limits(strangers=256, per_address=1_000_000, period=1.0, waiting_per_address=256)
"""All local programs share one address, so counting by address would let any of them shut the virtual card out."""

log = logging.getLogger("sra.local")


class LocalListener:
    """Attaches the virtual card processes."""

    def __init__(self, context: ssl.SSLContext, secret: bytes, sessions: Sessions) -> None:
        self._secret = secret
        self._sessions = sessions
        self._listener = Listener(context, lambda: Connection(Role.ADMIN, State.DETACHED), Gate(LIMITS), self._welcome)

    async def open(self, port: int) -> int:
        """Listen; the port."""
        return await self._listener.open(("127.0.0.1",), port)

    async def close(self) -> None:
        """End every connection."""
        await self._listener.close()

    async def _welcome(self, channel: Channel, leave: Callable[[], None]) -> None:
        try:
            opening = await channel.next_question(ATTACH_DEADLINE)
        except (LinkError, ProtocolError) as error:
            log.info("a local program without the secret: %s", error)
            channel.abort(LinkError("no secret"))
            return
        attach = opening.message
        if not isinstance(attach, Attach) or not hmac.compare_digest(attach.secret, self._secret):
            channel.abort(LinkError("a local program with a wrong secret"))
            return
        leave()
        channel.answer(opening.number, Attached())
        channel.start_keepalive()
        await self._serve(Reader(attach.reader, channel), channel)

    async def _serve(self, reader: Reader, channel: Channel) -> None:
        self._sessions.attach(reader)
        try:
            await channel.serve(reader)
        finally:
            self._sessions.detach(reader)
