"""The admin's side of a shared screen, against a remote that follows a script; its viewer is a few lines of shell."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sra.admin.events import ScreenClosed, ScreenOpened, ScreenRecorded
from sra.admin.screen import sharing as screen
from sra.admin.screen.sharing import ScreenSharing
from sra.admin.screen.viewer import Viewer
from sra.admin.session import AdminSession
from sra.errors import LinkError, RefusalCode, RefusedError
from sra.transport import tls_identity
from sra.transport.channel import Channel
from sra.transport.gate import Gate
from sra.transport.listener import Listener
from sra.transport.stream import Stream
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, SCREEN_ALPN, TICKET_BYTES, NoScreen, ScreenGrant, ScreenRequest
from sra.wire.states import Role
from tests.admin.connecting import connect, remote_at
from tests.admin.scripted_remote import let_in
from tests.admin.watching import Watching
from tests.loopback import DEADLINE, HOST, PLENTY, identity, until
from tests.memory_card import MemoryCard

TICKET = bytes(range(TICKET_BYTES))
GRANT = ScreenGrant(TICKET, "_srascreen", "p" * 24, recorded=False)
NO = NoScreen(RefusalCode.NO_SCREEN, "There is no screen to share.")
CONNECTS = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b'keys');"
STAYS = Viewer((sys.executable, "-c", f"{CONNECTS}\nwhile s.recv(99): pass", "{socket}"))
"""Until the screen goes away."""
CLOSES = Viewer((sys.executable, "-c", f"{CONNECTS} s.recv(5)", "{socket}"))
"""As soon as something is seen."""


class FakeRemote:
    """Lets anybody in, and answers each ScreenRequest with the next of ``answers`` (the last one again and again)."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: list[ScreenGrant | NoScreen] = [GRANT]
        self.asked: list[ScreenRequest] = []
        self.streams: list[Stream] = []
        self.tickets: list[bytes] = []
        self.watching = Watching()
        self.channels: list[Channel] = []

    async def take_channel(self, channel: Channel, leave: Callable[[], None]) -> None:
        leave()
        self.channels.append(channel)
        await let_in(channel)
        with contextlib.suppress(LinkError):
            while True:
                frame = await channel.next_question(60)
                if isinstance(frame.message, ScreenRequest):
                    self.asked.append(frame.message)
                    channel.answer(frame.number, self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    async def take_stream(self, stream: Stream, leave: Callable[[], None]) -> None:
        self.tickets.append(await stream.read(TICKET_BYTES, DEADLINE))
        leave()
        self.streams.append(stream)
        await stream.wait_ended()

    def sharing(self, viewer: Viewer, *, view_only: bool = False) -> ScreenSharing:
        return ScreenSharing(remote_at(self.port), viewer, self.watching, view_only=view_only)

    def opened(self) -> int:
        return sum(isinstance(event, ScreenOpened) for event in self.watching.events)

    def reasons(self) -> list[str]:
        return [event.reason for event in self.watching.events if isinstance(event, ScreenClosed)]


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[FakeRemote, AdminSession]]:
    there = FakeRemote()
    context = tls_identity.server_context(identity(), [ALPN, SCREEN_ALPN])
    listener = Listener(
        context, lambda: Connection(Role.REMOTE), Gate(PLENTY), there.take_channel, there.take_stream
    )  # fmt: skip
    there.port = await listener.open((HOST,), 0)
    session = await connect(there.port, MemoryCard())
    try:
        yield there, session
    finally:
        await session.close("over")
        await listener.close()


async def test_the_viewer_is_joined_to_the_screen_until_the_person_closes_it() -> None:
    async with connected() as (there, session):
        showing = asyncio.create_task(there.sharing(CLOSES, view_only=True).show(session))
        await until(lambda: bool(there.streams))
        assert await there.streams[0].read(4, DEADLINE) == b"keys"
        there.streams[0].write(b"pixel")
        await showing
        assert there.tickets == [TICKET]
        assert there.asked == [ScreenRequest(view_only=True)]
        opened, closed = there.watching.events
        assert opened == ScreenOpened(True)
        assert closed == ScreenClosed("The viewer was closed.", 0, 5, 4)


async def test_that_it_is_recorded_is_told_before_it_is_shown() -> None:
    async with connected() as (there, session):
        there.answers = [ScreenGrant(TICKET, "_srascreen", "p" * 24, recorded=True)]
        showing = asyncio.create_task(there.sharing(STAYS).show(session))
        await until(lambda: there.opened() == 1)
        assert there.watching.events == [ScreenRecorded(), ScreenOpened(False)]
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def test_a_screen_that_went_away_is_waited_for_and_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "ASK_AGAIN", 0.01)
    async with connected() as (there, session):
        there.answers = [GRANT, NO, NO, GRANT]
        showing = asyncio.create_task(there.sharing(STAYS).show(session))
        await until(lambda: there.opened() == 1)
        there.streams[0].close()
        await until(lambda: there.opened() == 2)
        assert len(there.asked) == 4
        assert there.reasons() == ["The screen went away on the remote."]
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def test_one_that_does_not_come_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "ASK_AGAIN", 0.01)
    monkeypatch.setattr(screen, "RETURN_PATIENCE", 0.1)
    async with connected() as (there, session):
        there.answers = [GRANT, NO]
        showing = asyncio.create_task(there.sharing(STAYS).show(session))
        await until(lambda: there.opened() == 1)
        there.streams[0].close()
        with pytest.raises(RefusedError, match="no screen to share"):
            await showing


async def test_one_that_goes_away_at_once_each_time_is_given_up() -> None:
    async with connected() as (there, session):
        showing = asyncio.create_task(there.sharing(STAYS).show(session))
        for times in range(screen.MAX_SHORT):
            await until(lambda: there.opened() == times + 1)  # noqa: B023 - looked at within this turn
            there.streams[-1].close()
        with pytest.raises(RefusedError, match="goes away as soon as it is shown"):
            await showing
        assert len(there.asked) == screen.MAX_SHORT


@pytest.mark.parametrize("code", [RefusalCode.NO_SCREEN, RefusalCode.NOT_ALLOWED, RefusalCode.LICENSE])
async def test_at_first_a_refusal_is_told_at_once(code: RefusalCode) -> None:
    async with connected() as (there, session):
        there.answers = [NoScreen(code, "no\x1b[31m")]
        with pytest.raises(RefusedError, match=r"no\?\[31m") as refused:
            await there.sharing(STAYS).show(session)
        assert refused.value.code is code
        assert there.streams == []


async def test_the_end_of_the_session_ends_the_viewer() -> None:
    async with connected() as (there, session):
        showing = asyncio.create_task(there.sharing(STAYS).show(session))
        await until(lambda: there.opened() == 1)
        there.channels[0].abort(LinkError("cut"))
        with pytest.raises(LinkError):
            await showing
        assert there.reasons() == ["The connection ended."]
        await there.streams[0].wait_ended()


@pytest.mark.parametrize(("script", "text"), [("exit 3", "ended with status 3"), ("exec sleep 60", "did not connect")])
async def test_a_viewer_that_does_not_connect_is_told(script: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "VIEWER_DEADLINE", 0.3)
    async with connected() as (there, session):
        with pytest.raises(RefusedError, match=text):
            await there.sharing(Viewer(("sh", "-c", script, "{socket}"))).show(session)
        await there.streams[0].wait_ended()
