"""Port 4117, on the loopback address only: the virtual card processes come in here, by a secret.

A peer without the secret gets nothing, not even a refusal.
"""

from __future__ import annotations

import hmac
import logging
import os
import socket
import ssl

from sra.errors import LinkError, ProtocolError
from sra.remote.daemon.readers import Reader
from sra.remote.daemon.sessions import Sessions
from sra.system.tcp import loopback_user_linux
from sra.transport.channel import Channel
from sra.transport.gate import Gate, GateLimits
from sra.transport.listener import Listener, StrangerPlace
from sra.wire.connection import Connection
from sra.wire.messages import Attach, Attached
from sra.wire.states import Role, State

ATTACH_DEADLINE = 2.0
"""Seconds for the secret: the peer is on this machine and has read it already."""
LIMITS = GateLimits(
    strangers=256,
    per_address=1000,
    period=10.0,
    waiting_per_address=32,
    known_per_address=64,
    per_second=1000,
    crowded=1.0,
)
"""Of the whole machine and, in place of an address, of each user: a user that fills the places loses them first."""

log = logging.getLogger("sra.local")


class LocalListener:
    """Attaches the virtual card processes; ``card_user`` is their user, if neither root nor this process's own."""

    def __init__(
        self, context: ssl.SSLContext, secret: bytes, sessions: Sessions, card_user: int | None = None
    ) -> None:
        self._secret = secret
        self._sessions = sessions
        self._listener = Listener(
            context,
            lambda: Connection(Role.ADMIN, State.DETACHED),
            Gate(LIMITS, _Trusted(card_user)),
            self._welcome,
            origins=by_user,
        )

    async def open(self, port: int) -> int:
        """Listen; the port."""
        return await self._listener.open(("127.0.0.1",), port)

    async def close(self) -> None:
        """End every connection."""
        await self._listener.close()

    async def _welcome(self, channel: Channel, place: StrangerPlace) -> None:
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
        place()
        channel.answer(opening.number, Attached())
        channel.start_keepalive()
        reader = Reader(attach.reader, channel)
        self._sessions.attach(reader)
        try:
            await channel.serve(reader)
        finally:
            self._sessions.detach(reader)


class _Trusted:
    """Root's programs, srad's own user's and the virtual card's have places that no other user can take."""

    def __init__(self, card_user: int | None) -> None:
        self._known = frozenset(map(_origin, {0, os.geteuid(), card_user} - {None}))

    def is_known(self, origin: str) -> bool:
        """Whether it is one of these users."""
        return origin in self._known

    def has_card(self, origin: str, certificate: bytes) -> bool:
        """No card is shown here."""
        return False


def by_user(connection: socket.socket, _: str) -> tuple[str, ...]:
    """Count a local program with its user: all of them share one address."""
    try:
        user = loopback_user_linux(connection.getpeername()[1], connection.getsockname()[1])
    except OSError:  # gone already
        user = None
    return (_origin(user),)


def _origin(user: int | None) -> str:
    return "unknown" if user is None else f"user {user}"
