"""A remote's screen on this machine: asked for, shown in a viewer, and shown again after a log-out there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sra.admin.events import ScreenClosed, ScreenOpened, ScreenRecorded, Watcher
from sra.admin.screen.viewer import Viewer, ViewerCredential, running
from sra.admin.screen.viewer_socket import ViewerSocket, open_door
from sra.admin.session import AdminSession, RemoteEndpoint
from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError
from sra.logs import clean
from sra.system.processes import first_of
from sra.transport.stream import Stream, join, open_stream
from sra.wire.messages import MAX_TEXT, SCREEN_ALPN, NoScreen, ScreenGrant, ScreenRequest

GRANT_DEADLINE = 150.0
"""Seconds for the remote to grant it: somebody there may have to say yes, who has up to 120."""
STREAM_DEADLINE = 15.0
"""Seconds for TCP and TLS."""
VIEWER_DEADLINE = 20.0
"""Seconds for the viewer to come up and connect."""
RETURN_PATIENCE = 60.0
"""Seconds for a screen to come back after a log-out there."""
ASK_AGAIN = 0.3
"""Seconds between asking for it meanwhile."""
TOO_SHORT = 2.0
"""Seconds; a screen that went away three times in a row as fast as this is given up."""
MAX_SHORT = 3


@dataclass
class _Shown:
    """How one showing went."""

    closed_here: bool
    seconds: float


class ScreenSharing:
    """Shows the screen of one remote, session after session."""

    def __init__(self, remote: RemoteEndpoint, viewer: Viewer, watcher: Watcher, *, view_only: bool) -> None:
        self._remote = remote
        self._viewer = viewer
        self._watcher = watcher
        self._view_only = view_only

    async def show(self, session: AdminSession) -> None:
        """Return when the person has closed the viewer.

        Raises ``RefusedError`` where the screen is not shared (any more), ``LinkError`` when the session has ended,
        ``UsageError`` where there is no viewer. A screen that goes away there, as by a log-out, is waited for.
        """
        grant = await self._ask(session)
        short = 0
        while True:
            shown = await self._show(session, grant)
            if shown.closed_here:
                return
            short = short + 1 if shown.seconds < TOO_SHORT else 0
            if short == MAX_SHORT:
                raise RefusedError(RefusalCode.NO_SCREEN, "The remote's screen goes away as soon as it is shown.")
            grant = await self._ask_again(session)

    async def _ask(self, session: AdminSession) -> ScreenGrant:
        answer = await session.channel.ask(ScreenRequest(self._view_only), GRANT_DEADLINE)
        if isinstance(answer, NoScreen):
            raise RefusedError(answer.code, clean(answer.text, MAX_TEXT))
        if not isinstance(answer, ScreenGrant):
            raise ProtocolError("The remote answered something else.")
        return answer

    async def _ask_again(self, session: AdminSession) -> ScreenGrant:
        """Until there is a screen again: a new X server takes a moment, and a new password has to be made."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RETURN_PATIENCE
        while True:
            try:
                return await self._ask(session)
            except RefusedError as error:
                if error.code is not RefusalCode.NO_SCREEN or loop.time() > deadline:
                    raise
            await asyncio.sleep(ASK_AGAIN)

    async def _show(self, session: AdminSession, grant: ScreenGrant) -> _Shown:
        if grant.recorded:
            self._watcher.notice(ScreenRecorded())
        stream = await open_stream(
            session.channel, self._remote.port, self._remote.trust.context([SCREEN_ALPN]),
            server_name=self._remote.host, deadline=STREAM_DEADLINE,
        )  # fmt: skip
        stream.write(grant.ticket)
        try:
            with open_door(by_path=self._viewer.takes_path) as door:
                async with running(self._viewer, door, ViewerCredential(grant.username, grant.password)) as viewer:
                    local = await _let_in(door, viewer)
                    return await self._pass_on(session, local, stream)
        finally:
            stream.close()

    async def _pass_on(self, session: AdminSession, local: Stream, stream: Stream) -> _Shown:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._watcher.notice(ScreenOpened(self._view_only))
        join(local, stream)
        try:
            async with first_of(local.wait_ended(), stream.wait_ended(), session.channel.wait_lost()):
                pass
        finally:
            local.close()
            seconds = loop.time() - begun
            reason = _reason(session, local, stream)
            self._watcher.notice(ScreenClosed(reason, round(seconds), stream.received, local.received))
        return _Shown(local.ended_first, seconds)


async def _let_in(door: ViewerSocket, viewer: asyncio.subprocess.Process) -> Stream:
    """The viewer's connection; ``RefusedError`` if it ends without one, or takes too long."""
    try:
        async with first_of(door.accept(), viewer.wait(), seconds=VIEWER_DEADLINE) as (accepting, ending):
            if ending.done() and ending.result() == 0:  # it may have passed its job on to another process
                await asyncio.wait([accepting], timeout=VIEWER_DEADLINE)
            if accepting.done():
                stream: Stream = accepting.result()
                return stream
    except OSError as error:
        raise LinkError(f"The viewer can't be connected: {error.strerror or error}.") from error
    how = f"ended with status {viewer.returncode}" if viewer.returncode else "did not connect"
    raise RefusedError(RefusalCode.NO_SCREEN, f"The viewer {how}, so the remote's screen can't be shown.")


def _reason(session: AdminSession, local: Stream, stream: Stream) -> str:
    if local.ended_first:
        return "The viewer was closed."
    if session.channel.is_lost:
        return "The connection ended."
    return "The screen went away on the remote." if stream.ended_first else "It was ended here."
