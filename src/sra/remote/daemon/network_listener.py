"""Port 4116: admins come in here."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

from sra.errors import LinkError, ProtocolError, RefusedError
from sra.logs import of_session
from sra.remote.daemon.sessions import House, Sessions, authenticate
from sra.transport.channel import Channel
from sra.transport.listener import Gate, Limits, Listener
from sra.wire.connection import Connection
from sra.wire.states import Role

log = logging.getLogger("sra.network")


class NetworkListener:
    """Authenticates who comes and serves them."""

    def __init__(self, context: ssl.SSLContext, house: House, sessions: Sessions, limits: Limits) -> None:
        self._house = house
        self._sessions = sessions
        streams = house.screens.serve if house.screens is not None else None
        self._listener = Listener(context, lambda: Connection(Role.REMOTE), Gate(limits), self._welcome, streams)

    async def open(self, addresses: tuple[str, ...], port: int) -> int:
        """Listen; the port."""
        return await self._listener.open(addresses, port)

    async def close(self) -> None:
        """End every connection."""
        await self._listener.close()

    async def _welcome(self, channel: Channel, leave: Callable[[], None]) -> None:
        if self._sessions.is_full:
            await channel.close("This remote has as many connections as it may have: try again later.")
            return
        try:
            account, certificate = await authenticate(channel, self._house)
        except RefusedError as error:
            log.warning("%s: refused: %s", channel.peer_address, error)
            self._house.record("refused", address=channel.peer_address, code=error.code)
            await channel.flush_and_close(error)
        except (LinkError, ProtocolError) as error:
            log.info("%s: did not authenticate: %s", channel.peer_address, error)
            await channel.flush_and_close(error)
        else:
            leave()
            about = of_session(channel.session)
            log.info("%s: connected as %s", channel.peer_address, account, extra=about)
            await self._sessions.serve(channel, account, certificate)
            log.info("%s: disconnected", channel.peer_address, extra=about)
