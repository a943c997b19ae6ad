"""Every way in which a channel can end, over real TLS."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from sra.errors import LinkError, ProtocolError
from sra.piv.keys import KeyRequest
from sra.transport import channel as channel_module
from sra.wire import rates
from sra.wire.messages import Challenge, EjectCard, Goodbye, Message, Ping, Pong
from sra.wire.states import Role, State
from tests.loopback import (
    DEADLINE,
    Door,
    channel_and_raw_peer,
    channels,
    dial,
    listening,
    raw,
    read_frame,
)
from tests.transport.answering import Answering, echo, never, request


@pytest.mark.parametrize("how", ["abort", "close", "cut"])
async def test_open_questions_fail_at_once_when_the_peer_goes(how: str) -> None:
    async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, reader, writer):
        asking = [asyncio.create_task(remote.ask(request(number))) for number in range(5)]
        serving = asyncio.create_task(remote.serve(Answering(echo)))
        for _ in asking:
            await read_frame(reader)
        begun = time.monotonic()
        end_connection(writer, how)
        results = await asyncio.gather(*asking, return_exceptions=True)
        await serving
        assert time.monotonic() - begun < 1
        assert all(isinstance(result, LinkError) for result in results)
        assert len({str(result) for result in results}) == 1
        with pytest.raises(LinkError):
            await remote.ask(request(9))


def end_connection(writer: asyncio.StreamWriter, how: str) -> None:
    """``cut`` ends the TCP connection without the words that TLS has for it."""
    if how == "abort":
        writer.transport.abort()
    elif how == "close":
        writer.close()
    else:
        writer.get_extra_info("socket").shutdown(socket.SHUT_WR)


async def test_answers_that_are_being_made_are_given_up_when_the_peer_goes() -> None:
    async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, _, writer):
        begun, ended = asyncio.Event(), asyncio.Event()

        async def wait(question: Message) -> Message:
            begun.set()
            try:
                return await never(question)
            finally:
                ended.set()

        serving = asyncio.create_task(admin.serve(Answering(wait)))
        writer.write(raw(1, request(1)))
        await begun.wait()
        writer.transport.abort()
        await serving
        assert ended.is_set()


async def test_a_goodbye_is_heard_and_says_whether_to_come_back() -> None:
    for final in (True, False):
        async with channels() as (admin, remote):
            answering = Answering(echo)
            serving = asyncio.create_task(admin.serve(answering))
            asking = asyncio.create_task(remote.ask(request(1)))
            await asking
            await remote.close("The service is stopping.", final=final)
            await serving
            assert admin.goodbye == Goodbye("The service is stopping.", final=final)
            assert answering.heard == [admin.goodbye]
            assert str(admin.reason) == "The other side closed the connection: The service is stopping."


async def test_after_a_goodbye_asking_fails_with_its_reason_and_telling_does_nothing() -> None:
    async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, reader, writer):
        open_question = asyncio.create_task(remote.ask(request(1)))
        await read_frame(reader)
        writer.write(raw(0, Goodbye("stopping", final=False)))
        with pytest.raises(LinkError, match="stopping"):
            await open_question
        with pytest.raises(LinkError, match="stopping"):
            await remote.ask(request(2))
        remote.notify(EjectCard("out"))


async def test_a_peer_that_says_goodbye_and_stays_is_not_waited_for() -> None:
    async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, _, writer):
        writer.write(raw(0, Goodbye("bye", final=False)))
        async with asyncio.timeout(1):
            await remote.wait_lost()


async def test_goodbyes_that_cross_are_no_error() -> None:
    async with channels() as (admin, remote):
        serving = [asyncio.create_task(end.serve(Answering(echo))) for end in (admin, remote)]
        await asyncio.gather(admin.close("from the admin"), remote.close("from the remote"))
        await asyncio.gather(*serving)
        assert not isinstance(admin.reason, ProtocolError)
        assert not isinstance(remote.reason, ProtocolError)


async def test_what_crosses_our_last_words_is_no_error_and_is_not_answered() -> None:
    async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
        closing = asyncio.create_task(admin.close("bye"))
        await asyncio.sleep(0)
        writer.write(raw(1, request(1)) + raw(2, Ping()))
        assert (await read_frame(reader)).message == Goodbye("bye", final=False)
        await closing
        assert str(admin.reason) == "bye"
        assert await reader.read() == b""


@pytest.mark.parametrize("ours", ["close", "abort", "flush", "goodbye"])
async def test_both_may_end_it_in_the_same_moment(ours: str) -> None:
    for pause in range(8):
        async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, _, writer):
            serving = asyncio.create_task(remote.serve(Answering(echo)))
            if ours == "goodbye":
                writer.write(raw(0, Goodbye("bye", final=False)))
            writer.close()
            for _ in range(pause):
                await asyncio.sleep(0)
            if ours == "abort":
                remote.abort(LinkError("enough"))
            if ours == "flush":
                await remote.flush_and_close(LinkError("enough"))
            await remote.close("bye")
            remote.abort(LinkError("enough"))
            await serving
            assert remote.is_lost


async def test_closing_takes_no_longer_than_the_last_words_may_take() -> None:
    async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, _, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        begun = time.monotonic()
        await remote.close("bye")
        assert time.monotonic() - begun < channel_module.GOODBYE_TIME + 0.5
        await remote.close("again")


async def test_a_closing_that_is_cancelled_still_ends_the_connection() -> None:
    async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, _, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        closing = asyncio.create_task(remote.close("bye"))
        await asyncio.sleep(0.01)
        closing.cancel()
        async with asyncio.timeout(0.3):
            await remote.wait_lost()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\xc0",
        raw(1, Challenge(1, bytes(32))),
        raw(1, Pong()),
        raw(0, request(1)),
        raw(1, EjectCard("numbered")),
    ],
)
async def test_a_peer_that_breaks_a_rule_is_cut_off_with_the_reason(sent: bytes) -> None:
    async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
        serving = asyncio.create_task(admin.serve(Answering(echo)))
        writer.write(sent)
        async with asyncio.timeout(DEADLINE):
            assert await _rest(reader) == b""
        await serving
        assert isinstance(admin.reason, ProtocolError)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


# Keepalive.


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the usual times."""
    monkeypatch.setattr(channel_module, "PING_AFTER", channel_module.PING_AFTER / 50)
    monkeypatch.setattr(channel_module, "DEAD_AFTER", channel_module.DEAD_AFTER / 50)


@pytest.mark.usefixtures("hurried")
async def test_a_peer_that_falls_silent_is_found_dead_and_open_questions_fail() -> None:
    async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, reader, _):
        remote.start_keepalive()
        asking = asyncio.create_task(remote.ask(request(1)))
        begun = time.monotonic()
        with pytest.raises(LinkError, match="dead"):
            await asking
        assert channel_module.DEAD_AFTER * 0.9 <= time.monotonic() - begun < channel_module.DEAD_AFTER + 1
        heard = [await read_frame(reader) for _ in range(2)]
        assert [type(frame.message) for frame in heard] == [KeyRequest, Ping]


@pytest.mark.usefixtures("hurried")
async def test_a_peer_that_has_nothing_to_say_stays_connected() -> None:
    async with channels() as (admin, remote):
        remote.start_keepalive()
        await asyncio.sleep(2 * channel_module.DEAD_AFTER)
        assert not remote.is_lost
        assert not admin.is_lost


@pytest.mark.usefixtures("hurried")
async def test_a_peer_that_talks_is_not_pinged() -> None:
    async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
        admin.start_keepalive()
        for number in range(1, 30):
            writer.write(raw(number, Ping()))
            assert (await read_frame(reader)).message == Pong()
            await asyncio.sleep(channel_module.PING_AFTER / 10)


async def flood(writer: asyncio.StreamWriter) -> None:
    """Ask and ask, and take no answer."""
    number = 0
    while True:
        writer.write(b"".join(raw(number + more, Ping()) for more in range(1, 33)))
        number += 32
        await asyncio.sleep(0)


async def test_a_peer_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_UNSENT", 64 * 1024)
    monkeypatch.setitem(rates.RATES, Ping, rates.Bound.STATES)
    async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, _, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        assert admin._transport is not None
        admin._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        flooding = asyncio.create_task(flood(writer))
        await admin.wait_lost()
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        assert "does not read" in str(admin.reason)


async def test_many_connections_end_with_their_listener() -> None:
    door = Door()
    async with listening(door.welcome, state=State.INSERTED) as port:
        admins = [await dial(port, state=State.INSERTED) for _ in range(10)]
        for _ in admins:
            await door.next()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(admin.wait_lost() for admin in admins))
    assert all(admin.goodbye for admin in admins)
