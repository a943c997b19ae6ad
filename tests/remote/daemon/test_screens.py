"""Grants, tickets and streams of the screen, with a helper and a screen server in this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra.errors import RefusalCode, RefusedError
from sra.remote.daemon.screens import Screens
from sra.remote.screen_sharing import helper_messages
from sra.remote.screen_sharing.helper_messages import Done, Ended, Failed, Grant, Granted, HelperReply, Open
from sra.remote.screen_sharing.link import NOT_SET_UP
from sra.transport.stream import Stream
from sra.wire.messages import NoScreen, ScreenGrant
from tests.loopback import DEADLINE, until
from tests.memory_remote import Records

ANN = {"account": "ann", "address": "", "card": "SHA256:AA"}
BOB = {"account": "bob", "address": "", "card": "SHA256:BB"}
"""Sockets without a network have no address; that one is theirs."""
GREETING = b"RFB 003.008\n"


class FakeHelper:
    """Answers srad; each ``Open`` gets a screen server, whose end is in ``servers``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[helper_messages.Request] = []
        self.servers: list[socket.socket] = []
        self.open_links: list[socket.socket] = []
        self.answer: HelperReply = Granted("_srascreen", "p" * 24, 60)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._listening.bind(str(path))
        self._listening.listen()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                link, _ = await loop.sock_accept(self._listening)
                self.open_links.append(link)
                group.create_task(self._answer(link))

    async def _answer(self, link: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while packet := await loop.sock_recv(link, 4096):
                request = helper_messages.decode_request(packet)
                self.asked.append(request)
                if isinstance(request, Open):
                    self._send_server(link)
                else:
                    link.send(helper_messages.encode(self.answer))
        self.open_links.remove(link)
        link.close()

    def _send_server(self, link: socket.socket) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.servers.append(ours)
        ours.send(GREETING)
        with theirs:
            socket.send_fds(link, [helper_messages.encode(Done())], [theirs.fileno()])

    def close(self) -> None:
        for each in (self._listening, *self.servers, *self.open_links):
            each.close()


class Scene:
    """The screens of a machine, and a viewer for every stream."""

    def __init__(self, helper: FakeHelper) -> None:
        self.helper = helper
        self.records = Records()
        self.screens = Screens(helper.path, self.records)
        self.left: list[bool] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def stream(self, first: bytes) -> socket.socket:
        """The viewer's end of a stream that begins with these bytes."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        _, stream = await asyncio.get_running_loop().create_unix_connection(Stream, sock=theirs)
        ours.send(first)
        self._tasks.append(asyncio.create_task(self._serve(stream)))
        return ours

    async def _serve(self, stream: Stream) -> None:
        await self.screens.serve(stream, lambda: self.left.append(True))
        stream.close()

    async def grant(self, session: object, facts: dict[str, str] | None = None) -> ScreenGrant:
        answer = await self.screens.grant(session, facts or ANN, view_only=False)
        assert isinstance(answer, ScreenGrant)
        return answer

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    helper = FakeHelper(tmp_path / "helper")
    serving = asyncio.create_task(helper.serve())
    there = Scene(helper)
    try:
        yield there
    finally:
        await there.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        helper.close()


async def heard(viewer: socket.socket, size: int = 4096) -> bytes:
    async with asyncio.timeout(DEADLINE):
        return await asyncio.get_running_loop().sock_recv(viewer, size)


async def test_a_ticket_leads_to_the_screen(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        grant = await there.grant("ann's session")
        assert (grant.username, grant.password) == ("_srascreen", "p" * 24)
        viewer = await there.stream(grant.ticket + b"hello")
        assert await heard(viewer) == GREETING
        assert await heard(there.helper.servers[0]) == b"hello"
        assert there.left == [True]
        assert there.helper.asked == [Grant(view_only=False, by="ann ()"), Open()]
        viewer.close()
        await until(lambda: there.records.events == ["screen-granted", "screen-started", "screen-ended"])
        ended = there.records.of("screen-ended")[0]
        assert ended == ANN | {"reason": "The viewer was closed.", "seconds": 0, "sent": 12, "received": 5}
        await until(lambda: there.helper.open_links == [])


async def test_that_it_is_recorded_is_told_and_written_down(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        there.helper.answer = Granted("_srascreen", "p" * 24, 60, "20260102T030405Z_ann_01234567")
        grant = await there.grant("ann's")
        assert grant.recorded
        assert there.records.of("screen-granted")[0]["recording"] == "20260102T030405Z_ann_01234567"


async def is_refused(there: Scene, first: bytes) -> bool:
    """Whether a stream that begins like this is closed without a word."""
    viewer = await there.stream(first)
    said = await heard(viewer)
    viewer.close()
    return said == b""


async def test_a_ticket_works_once_and_not_while_it_is_in_use_either(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        grant = await there.grant("ann's")
        viewer = await there.stream(grant.ticket)
        assert await heard(viewer) == GREETING
        assert await is_refused(there, grant.ticket)
        viewer.close()
        await until(lambda: "screen-ended" in there.records.events)
        assert await is_refused(there, grant.ticket)
        assert there.records.events.count("screen-ticket-refused") == 2
        assert there.left == [True]


@pytest.mark.parametrize("change", [lambda ticket: bytes(32), lambda ticket: ticket[:31] + bytes([ticket[31] ^ 1])])
async def test_a_wrong_ticket_opens_nothing(tmp_path: Path, change: object) -> None:
    async with scene(tmp_path) as there:
        grant = await there.grant("ann's")
        assert callable(change)
        assert await is_refused(there, change(grant.ticket))
        assert Open() not in there.helper.asked


async def test_a_ticket_is_not_good_from_another_address(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        grant = await there.grant("ann's", ANN | {"address": "192.0.2.1"})
        assert await is_refused(there, grant.ticket)
        assert there.records.of("screen-ticket-refused") == [{"address": ""}]


async def test_a_ticket_dies_with_its_session(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        anns, bobs = await there.grant("ann's"), await there.grant("bob's", BOB)
        await there.screens.end("ann's")
        assert await is_refused(there, anns.ticket)
        viewer = await there.stream(bobs.ticket)
        assert await heard(viewer) == GREETING


async def test_a_new_grant_of_the_same_session_ends_the_one_before(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        first = await there.grant("ann's")
        viewer = await there.stream(first.ticket)
        assert await heard(viewer) == GREETING
        second = await there.grant("ann's")
        assert await heard(viewer) == b""
        assert await is_refused(there, first.ticket)
        again = await there.stream(second.ticket)
        assert await heard(again) == GREETING


async def test_a_ticket_dies_with_the_password(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        grant = await there.grant("ann's")
        there.helper.open_links[0].send(helper_messages.encode(Ended("The screen's password was not used.")))
        await until(lambda: "screen-ended" in there.records.events)
        assert there.records.of("screen-ended")[0]["reason"] == "The screen's password was not used."
        assert await is_refused(there, grant.ticket)


async def test_the_end_of_the_session_ends_the_stream_on_both_sides(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        grant = await there.grant("ann's")
        viewer = await there.stream(grant.ticket)
        assert await heard(viewer) == GREETING
        await there.screens.end("ann's")
        assert await heard(viewer) == b""
        assert await heard(there.helper.servers[0]) == b""
        assert there.records.of("screen-ended")[0]["reason"] == "The session ended, or asked anew."


async def test_when_the_screen_goes_away_the_helper_says_why(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        grant = await there.grant("ann's")
        viewer = await there.stream(grant.ticket)
        assert await heard(viewer) == GREETING
        there.helper.servers[0].close()
        assert await heard(viewer) == b""
        there.helper.open_links[0].send(helper_messages.encode(Ended("Somebody logged out.")))
        await until(lambda: "screen-ended" in there.records.events)
        assert there.records.of("screen-ended")[0]["reason"] == "Somebody logged out."


async def test_a_helper_that_dies_ends_the_stream(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        grant = await there.grant("ann's")
        viewer = await there.stream(grant.ticket)
        assert await heard(viewer) == GREETING
        there.helper.open_links[0].shutdown(socket.SHUT_RDWR)
        assert await heard(viewer) == b""


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Failed("There is no screen to share."), RefusalCode.NO_SCREEN),
        (Failed("The owner says no.", is_refusal=True), RefusalCode.NOT_ALLOWED),
        (Ended("The helper is stopping."), RefusalCode.NO_SCREEN),
    ],
)
async def test_what_the_helper_refuses_is_told(tmp_path: Path, answer: Failed | Ended, code: RefusalCode) -> None:
    async with scene(tmp_path) as there:
        there.helper.answer = answer
        told = await there.screens.grant("ann's", ANN, view_only=True)
        assert told == NoScreen(code, answer.reason)
        assert there.records.of("screen-refused") == [ANN | {"code": code, "reason": answer.reason}]
        await until(lambda: there.helper.open_links == [])


async def test_a_license_without_the_screen_is_told_before_the_helper_is_asked(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        no = RefusedError(RefusalCode.LICENSE, "The license does not include it.")

        def admit() -> None:
            raise no

        screens = Screens(there.helper.path, there.records, admit)
        told = await screens.grant("ann's", ANN, view_only=False)
        assert told == NoScreen(no.code, no.text)
        assert there.helper.asked == []


async def test_without_a_helper_the_admin_is_told_what_to_do(tmp_path: Path) -> None:
    screens = Screens(tmp_path / "nobody", Records())
    assert await screens.grant("ann's", ANN, view_only=False) == NoScreen(RefusalCode.NO_SCREEN, NOT_SET_UP)


async def test_a_stranger_without_a_ticket_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sra.remote.daemon.screens.TICKET_DEADLINE", 0.05)
    async with scene(tmp_path) as there:
        assert await is_refused(there, b"x" * 31)
        assert there.records.lines == []
