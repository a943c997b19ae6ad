"""A channel over real TLS: questions, answers, cancellations, and every way in which it can end."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import pytest

from sra.errors import CardError, LinkError, ProtocolError, RefusalCode, RefusedError, SraError
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinOutcome, PinReply, PinRequest, Slot
from sra.transport import channel as channel_module
from sra.transport.channel import Channel, open_channel
from sra.transport.tls_trust import client_context
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, MAX_TEXT, Cancel, Challenge, EjectCard, Goodbye, Message, Ping, Pong, Proof, Refusal
from sra.wire.states import Role, State
from tests.loopback import (
    DEADLINE,
    HOST,
    Door,
    channel_and_raw_peer,
    channels,
    dial,
    identity,
    listening,
    raw,
    read_frame,
    until,
)

Answer = Callable[[Message], Awaitable[Message]]


def run(body: Coroutine[Any, Any, None]) -> None:
    async def within_time() -> None:
        async with asyncio.timeout(4 * DEADLINE):
            await body

    asyncio.run(within_time())


def request(number: int) -> KeyRequest:
    return KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, bytes([number]) * 32)


class Answering:
    """An ``Answerer`` made of one function, which remembers the notices."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heard: list[Message] = []

    async def answer(self, question: Message) -> Message:
        return await self._answer(question)

    async def hear(self, notice: Message) -> None:
        self.heard.append(notice)


async def echo(question: Message) -> Message:
    assert isinstance(question, KeyRequest)
    return KeyReply(question.input)


async def never(_: Message) -> Message:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets")


# Questions and answers.


def test_answers_find_their_questions_in_any_order() -> None:
    async def body() -> None:
        turns = [asyncio.Event() for _ in range(20)]

        async def backwards(question: Message) -> Message:
            assert isinstance(question, KeyRequest)
            place = question.input[0]
            if place + 1 < len(turns):
                await turns[place + 1].wait()
            turns[place].set()
            return KeyReply(question.input)

        async with channels() as (admin, remote):
            serving = asyncio.create_task(admin.serve(Answering(backwards)))
            replies = await asyncio.gather(*(remote.ask(request(number)) for number in range(20)))
            assert replies == [KeyReply(request(number).input) for number in range(20)]
        await serving

    run(body())


def test_a_slow_question_holds_up_no_other() -> None:
    async def body() -> None:
        async def only_pins(question: Message) -> Message:
            return PinReply(PinOutcome.VERIFIED, 3) if isinstance(question, PinRequest) else await never(question)

        async with channels() as (admin, remote):
            serving = asyncio.create_task(admin.serve(Answering(only_pins)))
            slow = asyncio.create_task(remote.ask(request(1)))
            for _ in range(3):
                assert await remote.ask(PinRequest(None)) == PinReply(PinOutcome.VERIFIED, 3)
            assert not slow.done()
            slow.cancel()
        await serving

    run(body())


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (RefusedError(RefusalCode.NOT_ALLOWED, "no"), RefusalCode.NOT_ALLOWED, "no"),
        (RefusedError(RefusalCode.NOT_ALLOWED, "n" * 5000), RefusalCode.NOT_ALLOWED, "n" * MAX_TEXT),
        (CardError("The card was taken out."), RefusalCode.CARD, "The card was taken out."),
        (ZeroDivisionError("secret"), RefusalCode.INTERNAL, "An error inside the program; its log has more."),
    ],
)
def test_what_goes_wrong_with_a_question_is_its_answer(error: Exception, code: RefusalCode, text: str) -> None:
    async def fail(_: Message) -> Message:
        raise error

    async def body() -> None:
        async with channels() as (admin, remote):
            serving = asyncio.create_task(admin.serve(Answering(fail)))
            with pytest.raises(RefusedError) as refused:
                await remote.ask(request(1))
            assert (refused.value.code, refused.value.text) == (code, text)
        await serving

    run(body())


def test_a_peers_text_is_harmless_on_a_terminal() -> None:
    async def hostile(_: Message) -> Message:
        raise RefusedError(RefusalCode.CARD, "\x1b]0;owned\x07 red\x1b[31m \u202e\nsra: done")

    async def body() -> None:
        async with channels() as (admin, remote):
            serving = asyncio.create_task(admin.serve(Answering(hostile)))
            with pytest.raises(RefusedError) as refused:
                await remote.ask(request(1))
            assert refused.value.text.isprintable()
            await admin.close("\x1b[2Jgone\n")
            await until(lambda: remote.is_lost)
            assert str(remote.reason).isprintable()
        await serving

    run(body())


def test_a_question_that_gets_no_answer_in_time_is_cancelled_on_the_other_side() -> None:
    async def body() -> None:
        async with channels() as (admin, remote):
            cancelled = asyncio.Event()

            async def wait(question: Message) -> Message:
                try:
                    return await never(question)
                finally:
                    cancelled.set()

            serving = asyncio.create_task(admin.serve(Answering(wait)))
            with pytest.raises(RefusedError) as refused:
                await remote.ask(request(1), 0.05)
            assert refused.value.code is RefusalCode.TIMEOUT
            async with asyncio.timeout(DEADLINE):
                await cancelled.wait()
            assert not remote.is_lost
        await serving

    run(body())


def test_whoever_is_cancelled_while_asking_tells_the_other_side_which_still_answers() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, reader, writer):
            asking = asyncio.create_task(remote.ask(request(1)))
            assert (await read_frame(reader)).message == request(1)
            asking.cancel()
            assert (await read_frame(reader)).message == Cancel(1)
            writer.write(raw(1, Refusal(RefusalCode.TIMEOUT, "nobody waits")) + raw(1, Ping()))
            assert (await read_frame(reader)).message == Pong()
            assert not remote.is_lost

    run(body())


def test_a_cancelled_question_gets_its_answer_from_us() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
            ended = asyncio.Event()

            async def wait(question: Message) -> Message:
                try:
                    return await never(question)
                finally:
                    ended.set()

            serving = asyncio.create_task(admin.serve(Answering(wait)))
            writer.write(raw(1, request(1)))
            await asyncio.sleep(0.01)
            writer.write(raw(0, Cancel(1)))
            answer = await read_frame(reader)
            assert answer.number == 1
            assert isinstance(answer.message, Refusal)
            assert ended.is_set()
        await serving

    run(body())


def test_a_question_and_its_cancellation_in_one_segment_start_nothing_and_get_an_answer() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
            begun: list[Message] = []

            async def note(question: Message) -> Message:
                begun.append(question)
                return await never(question)

            serving = asyncio.create_task(admin.serve(Answering(note)))
            writer.write(raw(1, request(1)) + raw(0, Cancel(1)) + raw(2, Ping()))
            answers = [await read_frame(reader), await read_frame(reader)]
            assert sorted(answer.number for answer in answers) == [1, 2]
            assert begun == []
        await serving

    run(body())


def test_a_cancellation_that_comes_too_late_changes_nothing() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
            serving = asyncio.create_task(admin.serve(Answering(echo)))
            writer.write(raw(1, request(1)))
            assert (await read_frame(reader)).message == KeyReply(request(1).input)
            writer.write(raw(0, Cancel(1)) + raw(0, Cancel(77)) + raw(2, request(2)))
            assert (await read_frame(reader)).message == KeyReply(request(2).input)
        await serving

    run(body())


def test_what_may_not_be_asked_now_is_not_sent() -> None:
    async def body() -> None:
        async with channels(State.AUTHENTICATED) as (admin, remote):
            serving = asyncio.create_task(admin.serve(Answering(echo)))
            with pytest.raises(ProtocolError):
                await remote.ask(request(1))
            with pytest.raises(ProtocolError):
                admin.notify(EjectCard("nothing is in"))
            assert await remote.ask(Ping()) == Pong()
        await serving

    run(body())


# Handshakes.


def test_a_handshake_is_a_straight_line() -> None:
    async def body() -> None:
        async with channels(State.CHALLENGED) as (admin, remote):
            asking = asyncio.create_task(admin.ask(Proof(b"signature")))
            frame = await remote.next_question(DEADLINE)
            assert frame.message == Proof(b"signature")
            remote.answer(frame.number, Refusal(RefusalCode.PROOF, "no"))
            with pytest.raises(RefusedError, match="no"):
                await asking

    run(body())


def test_a_peer_that_says_nothing_is_not_waited_for() -> None:
    async def body() -> None:
        async with channels(State.OPENED) as (_, remote):
            with pytest.raises(LinkError, match="Nothing was heard"):
                await remote.next_question(0.02)

    run(body())


def test_a_peer_that_goes_during_the_handshake_ends_it() -> None:
    async def body() -> None:
        async with channels(State.OPENED) as (admin, remote):
            waiting = asyncio.create_task(remote.next_question(DEADLINE))
            admin.abort(LinkError("gone"))
            with pytest.raises(LinkError):
                await waiting

    run(body())


def test_the_certificate_that_was_shown_and_the_address_are_known() -> None:
    async def body() -> None:
        async with channels() as (admin, remote):
            assert admin.peer_certificate == identity().certificate
            assert remote.peer_certificate == b""
            assert remote.peer_address == HOST

    run(body())


# The end of a connection.


@pytest.mark.parametrize("how", ["abort", "close", "cut"])
def test_open_questions_fail_at_once_when_the_peer_goes(how: str) -> None:
    async def body() -> None:
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

    run(body())


def end_connection(writer: asyncio.StreamWriter, how: str) -> None:
    """``cut`` ends the TCP connection without the words that TLS has for it."""
    if how == "abort":
        writer.transport.abort()
    elif how == "close":
        writer.close()
    else:
        writer.get_extra_info("socket").shutdown(socket.SHUT_WR)


def test_answers_that_are_being_made_are_given_up_when_the_peer_goes() -> None:
    async def body() -> None:
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

    run(body())


def test_a_goodbye_is_heard_and_says_whether_to_come_back() -> None:
    async def body() -> None:
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

    run(body())


def test_after_a_goodbye_asking_fails_with_its_reason_and_telling_does_nothing() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, reader, writer):
            open_question = asyncio.create_task(remote.ask(request(1)))
            await read_frame(reader)
            writer.write(raw(0, Goodbye("stopping", final=False)))
            with pytest.raises(LinkError, match="stopping"):
                await open_question
            with pytest.raises(LinkError, match="stopping"):
                await remote.ask(request(2))
            remote.notify(EjectCard("out"))

    run(body())


def test_a_peer_that_says_goodbye_and_stays_is_not_waited_for() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, _, writer):
            writer.write(raw(0, Goodbye("bye", final=False)))
            async with asyncio.timeout(1):
                await remote.wait_lost()

    run(body())


def test_goodbyes_that_cross_are_no_error() -> None:
    async def body() -> None:
        async with channels() as (admin, remote):
            serving = [asyncio.create_task(end.serve(Answering(echo))) for end in (admin, remote)]
            await asyncio.gather(admin.close("from the admin"), remote.close("from the remote"))
            await asyncio.gather(*serving)
            assert not isinstance(admin.reason, ProtocolError)
            assert not isinstance(remote.reason, ProtocolError)

    run(body())


def test_what_crosses_our_last_words_is_no_error_and_is_not_answered() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
            closing = asyncio.create_task(admin.close("bye"))
            await asyncio.sleep(0)
            writer.write(raw(1, request(1)) + raw(2, Ping()))
            assert (await read_frame(reader)).message == Goodbye("bye", final=False)
            await closing
            assert str(admin.reason) == "bye"
            assert await reader.read() == b""

    run(body())


def test_closing_takes_no_longer_than_the_last_words_may_take() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, _, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            begun = time.monotonic()
            await remote.close("bye")
            assert time.monotonic() - begun < channel_module.GOODBYE_TIME + 0.5
            await remote.close("again")

    run(body())


def test_a_closing_that_is_cancelled_still_ends_the_connection() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, _, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            closing = asyncio.create_task(remote.close("bye"))
            await asyncio.sleep(0.01)
            closing.cancel()
            async with asyncio.timeout(0.3):
                await remote.wait_lost()

    run(body())


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
def test_a_peer_that_breaks_a_rule_is_cut_off_with_the_reason(sent: bytes) -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
            serving = asyncio.create_task(admin.serve(Answering(echo)))
            writer.write(sent)
            async with asyncio.timeout(DEADLINE):
                assert await _rest(reader) == b""
            await serving
            assert isinstance(admin.reason, ProtocolError)

    run(body())


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
def test_a_peer_that_falls_silent_is_found_dead_and_open_questions_fail() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, reader, _):
            remote.start_keepalive()
            asking = asyncio.create_task(remote.ask(request(1)))
            begun = time.monotonic()
            with pytest.raises(LinkError, match="dead"):
                await asking
            assert channel_module.DEAD_AFTER * 0.9 <= time.monotonic() - begun < channel_module.DEAD_AFTER + 0.1
            heard = [await read_frame(reader) for _ in range(4)]
            assert [type(frame.message) for frame in heard] == [KeyRequest, Ping, Ping, Ping]

    run(body())


@pytest.mark.usefixtures("hurried")
def test_a_peer_that_has_nothing_to_say_stays_connected() -> None:
    async def body() -> None:
        async with channels() as (admin, remote):
            remote.start_keepalive()
            await asyncio.sleep(2 * channel_module.DEAD_AFTER)
            assert not remote.is_lost
            assert not admin.is_lost

    run(body())


@pytest.mark.usefixtures("hurried")
def test_a_peer_that_talks_is_not_pinged() -> None:
    async def body() -> None:
        async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
            admin.start_keepalive()
            for number in range(1, 30):
                writer.write(raw(number, Ping()))
                assert (await read_frame(reader)).message == Pong()
                await asyncio.sleep(channel_module.PING_AFTER / 10)

    run(body())


async def flood(writer: asyncio.StreamWriter) -> None:
    """Ask and ask, and take no answer."""
    number = 0
    while True:
        writer.write(b"".join(raw(number + more, Ping()) for more in range(1, 33)))
        number += 32
        await asyncio.sleep(0)


def test_a_peer_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_UNSENT", 64 * 1024)

    async def body() -> None:
        async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, _, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            cast("socket.socket", admin._extra("socket")).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            flooding = asyncio.create_task(flood(writer))
            await admin.wait_lost()
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
            assert "does not read" in str(admin.reason)

    run(body())


# Opening a channel.


def test_where_nobody_listens_there_is_no_link() -> None:
    async def body() -> None:
        with socket.create_server((HOST, 0)) as before:
            port = before.getsockname()[1]
        with pytest.raises(LinkError, match="can't be reached"):
            await dial(port)

    run(body())


def test_a_host_without_an_address_can_not_be_reached() -> None:
    async def body() -> None:
        with pytest.raises(LinkError, match="can't be reached"):
            await open_channel(
                "no-such-host.invalid", 4116, client_context(None, [ALPN]), Connection(Role.ADMIN),
                server_name="localhost", deadline=DEADLINE,
            )  # fmt: skip

    run(body())


def test_what_does_not_speak_tls_is_no_remote() -> None:
    async def body() -> None:
        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            writer.close()

        server = await asyncio.start_server(talk, HOST, 0)
        async with server:
            with pytest.raises(LinkError):
                await dial(server.sockets[0].getsockname()[1])

    run(body())


def test_what_does_not_answer_is_given_up() -> None:
    async def body() -> None:
        with socket.create_server((HOST, 0)) as silent, pytest.raises(LinkError, match="does not answer"):
            await open_channel(
                HOST, silent.getsockname()[1], client_context(None, [ALPN]), Connection(Role.ADMIN),
                server_name="localhost", deadline=0.1,
            )  # fmt: skip

    run(body())


def test_a_channel_that_was_never_connected_can_be_closed() -> None:
    async def body() -> None:
        unused = Channel(Connection(Role.ADMIN), "unused")
        with pytest.raises(SraError):
            await unused.ask(Ping())
        await unused.close("never mind")
        assert unused.is_lost

    run(body())


def test_many_connections_end_with_their_listener() -> None:
    async def body() -> None:
        door = Door()
        async with listening(door.welcome, state=State.INSERTED) as port:
            admins = [await dial(port, state=State.INSERTED) for _ in range(10)]
            for _ in admins:
                await door.next()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(admin.wait_lost() for admin in admins))
        assert all(admin.goodbye for admin in admins)

    run(body())
