"""An admin who has a screen granted and does with it what the lines on standard input say; the answers are JSON lines.

    python -m tests.system.grants FINGERPRINT CARD

grant: a new grant. stream: open a stream with the last ticket and log in with the last password. again: another stream
with that ticket. close: close the streams. bye: end the session.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from pathlib import Path

from lab.product import CARDS, PIN
from sra.admin.guard.lending import GuardSettings, LentCard, PauseSwitch
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.unlocking import Unlocking
from sra.admin.session import AdminSession, RemoteEndpoint, connect
from sra.cards.software.backend import SoftwareBackend
from sra.errors import SraError
from sra.transport.known_remotes import KnownRemotes
from sra.transport.stream import Stream, join, open_stream
from sra.transport.tls_trust import TrustPolicy
from sra.wire.messages import SCREEN_ALPN, NoScreen, ScreenGrant, ScreenRequest
from tests.admin.watching import Person, Watching
from tests.rfb_client import RfbClient, RfbRefusedError


class Granted:
    """A session, and what it has of the screen."""

    def __init__(self, remote: RemoteEndpoint, session: AdminSession) -> None:
        self._remote = remote
        self._session = session
        self._grant = ScreenGrant(bytes(32), "nobody", "no password at all", recorded=False)
        self._streams: list[Stream] = []

    async def grant(self) -> str:
        answer = await self._session.channel.ask(ScreenRequest(view_only=False), 30)
        if isinstance(answer, NoScreen):
            return answer.text
        assert isinstance(answer, ScreenGrant)
        self._grant = answer
        return json.dumps([answer.ticket.hex(), answer.username, answer.password])

    async def use(self, values: str) -> str:
        """Another session's grant."""
        ticket, username, password = json.loads(values)
        self._grant = ScreenGrant(bytes.fromhex(ticket), username, password, recorded=False)
        return "taken"

    async def stream(self) -> str:
        """What came of it: the screen's size, or why there is none."""
        context = self._remote.trust.context([SCREEN_ALPN])
        far = await open_stream(self._session.channel, self._remote.port, context, server_name="remote", deadline=10)
        far.write(self._grant.ticket)
        ours, theirs = socket.socketpair()
        _, near = await asyncio.get_running_loop().create_unix_connection(Stream, sock=theirs)
        join(near, far)
        self._streams += [near, far]
        return await asyncio.to_thread(_log_in, ours, self._grant)

    async def close(self) -> str:
        for stream in self._streams:
            stream.close()
            await stream.wait_ended()
        self._streams.clear()
        return "closed"


def _log_in(connection: socket.socket, grant: ScreenGrant) -> str:
    client = RfbClient.over(connection)
    try:
        client.log_in(grant.username, grant.password)
    except (RfbRefusedError, OSError) as error:
        client.close()
        return str(error)
    _kept.append(client)
    return f"let in: {client.size[0]}x{client.size[1]}"


_kept: list[RfbClient] = []
"""Clients whose connections stay open until the streams are closed."""


async def main(fingerprint: str, card: str) -> None:
    person = Person(agrees=True, pin=PIN.encode())
    watching = Watching()
    opened = await SoftwareBackend(Path(CARDS)).open(card)
    lender = LentCard(opened, person, watching, GuardSettings(), PinMemory(0), PauseSwitch(watching))
    remote = RemoteEndpoint(
        "remote", 4116, TrustPolicy(KnownRemotes(Path("/nonexistent")), lambda *_: False, fingerprint)
    )
    session = await connect(remote, lender, Unlocking(lender))
    granted = Granted(remote, session)
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_read, args=(loop, lines), daemon=True).start()
    print(json.dumps("connected"), flush=True)
    while (line := await lines.get()) not in {"", "bye"}:
        order, _, values = line.partition(" ")
        try:
            said = await (granted.use(values) if order == "use" else getattr(granted, order)())
        except SraError as error:
            said = f"{type(error).__name__}: {error}"
        print(json.dumps(said), flush=True)
    await session.close("over")


def _read(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str]) -> None:
    for line in sys.stdin:
        loop.call_soon_threadsafe(lines.put_nowait, line.strip())
    loop.call_soon_threadsafe(lines.put_nowait, "bye")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
