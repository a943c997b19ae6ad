"""Port 4116: admins come in here."""

from __future__ import annotations

import asyncio
import logging
import ssl

from sra.errors import LinkError, ProtocolError, RefusedError
from sra.logs import of_session
from sra.remote.daemon.recent_admins import RecentAdmins
from sra.remote.daemon.sessions import Admission, Sessions, authenticate
from sra.transport.channel import Channel
from sra.transport.gate import Gate, GateLimits
from sra.transport.listener import Listener, StrangerPlace
from sra.wire.connection import Connection
from sra.wire.states import Role

log = logging.getLogger("sra.network")


class NetworkListener:
    """Authenticates who comes and serves them."""

    def __init__(
        self,
        context: ssl.SSLContext,
        house: Admission,
        sessions: Sessions,
        limits: GateLimits,
        known: RecentAdmins | None = None,
    ) -> None:
        self._house = house
        self._known = known or RecentAdmins(None)
        self._sessions = sessions
        streams = house.screens.serve if house.screens is not None else None
        self._listener = Listener(
            context, lambda: Connection(Role.REMOTE), Gate(limits, self._known), self._welcome, streams
        )

    async def open(self, addresses: tuple[str, ...], port: int) -> int:
        """Listen; the port."""
        return await self._listener.open(addresses, port)

    async def close(self) -> None:
        """End every connection."""
        await self._listener.close()

    async def _welcome(self, channel: Channel, place: StrangerPlace) -> None:
        if self._sessions.is_full:
            await channel.close("This remote has as many connections as it may have: try again later.")
            return
        try:
            account, certificate = await authenticate(channel, self._house, place.recognise)
        except RefusedError as error:
            log.warning("%s: refused: %s", channel.peer_address, error)
            self._house.record("refused", address=channel.peer_address, code=error.code)
            await channel.flush_and_close(error)
        except (LinkError, ProtocolError) as error:
            log.info("%s: did not authenticate: %s", channel.peer_address, error)
            await channel.flush_and_close(error)
        else:
            place()
            self._remember(channel.peer_address, certificate.key_bytes)
            about = of_session(channel.session)
            log.info("%s: connected as %s", channel.peer_address, account, extra=about)
            await self._sessions.serve(channel, account, certificate)
            log.info("%s: disconnected", channel.peer_address, extra=about)

    def _remember(self, address: str, key: bytes) -> None:
        """Keep a place for this admin; the disk holds nothing up."""
        if self._known.remember(address, key):
            asyncio.get_running_loop().run_in_executor(None, self._known.keep, self._known.content())
