"""A channel over real TLS: questions, answers, cancellations, handshakes."""

from __future__ import annotations

import asyncio

import pytest

from sra.errors import CardError, LinkError, ProtocolError, RefusalCode, RefusedError
from sra.piv.keys import KeyReply, KeyRequest, PinOutcome, PinReply, PinRequest
from sra.wire.messages import MAX_TEXT, Cancel, EjectCard, Message, Ping, Pong, Proof, Refusal
from sra.wire.states import Role, State
from tests.loopback import (
    DEADLINE,
    HOST,
    channel_and_raw_peer,
    channels,
    identity,
    raw,
    read_frame,
    until,
)
from tests.transport.answering import Answering, echo, never, request


async def test_answers_find_their_questions_in_any_order() -> None:
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


async def test_a_slow_question_holds_up_no_other() -> None:
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


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (RefusedError(RefusalCode.NOT_ALLOWED, "no"), RefusalCode.NOT_ALLOWED, "no"),
        (RefusedError(RefusalCode.NOT_ALLOWED, "n" * 5000), RefusalCode.NOT_ALLOWED, "n" * MAX_TEXT),
        (CardError("The card was taken out."), RefusalCode.CARD, "The card was taken out."),
        (ZeroDivisionError("secret"), RefusalCode.INTERNAL, "An error inside the program; its log has more."),
    ],
)
async def test_what_goes_wrong_with_a_question_is_its_answer(error: Exception, code: RefusalCode, text: str) -> None:
    async def fail(_: Message) -> Message:
        raise error

    async with channels() as (admin, remote):
        serving = asyncio.create_task(admin.serve(Answering(fail)))
        with pytest.raises(RefusedError) as refused:
            await remote.ask(request(1))
        assert (refused.value.code, refused.value.text) == (code, text)
    await serving


async def test_a_peers_text_is_harmless_on_a_terminal() -> None:
    async def hostile(_: Message) -> Message:
        raise RefusedError(RefusalCode.CARD, "\x1b]0;owned\x07 red\x1b[31m \u202e\nsra: done")

    async with channels() as (admin, remote):
        serving = asyncio.create_task(admin.serve(Answering(hostile)))
        with pytest.raises(RefusedError) as refused:
            await remote.ask(request(1))
        assert refused.value.text.isprintable()
        await admin.close("\x1b[2Jgone\n")
        await until(lambda: remote.is_lost)
        assert str(remote.reason).isprintable()
    await serving


async def test_a_question_that_gets_no_answer_in_time_is_cancelled_on_the_other_side() -> None:
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


async def test_whoever_is_cancelled_while_asking_tells_the_other_side_which_still_answers() -> None:
    async with channel_and_raw_peer(Role.REMOTE, State.INSERTED) as (remote, reader, writer):
        asking = asyncio.create_task(remote.ask(request(1)))
        assert (await read_frame(reader)).message == request(1)
        asking.cancel()
        assert (await read_frame(reader)).message == Cancel(1)
        writer.write(raw(1, Refusal(RefusalCode.TIMEOUT, "nobody waits")) + raw(1, Ping()))
        assert (await read_frame(reader)).message == Pong()
        assert not remote.is_lost


async def test_a_cancelled_question_gets_its_answer_from_us() -> None:
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


async def test_a_question_and_its_cancellation_in_one_segment_are_heard_of_and_get_an_answer() -> None:
    async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
        heard: list[Message | str] = []

        async def note(question: Message) -> Message:
            heard.append(question)
            try:
                return await never(question)
            except asyncio.CancelledError:
                heard.append("cancelled")
                raise

        serving = asyncio.create_task(admin.serve(Answering(note)))
        writer.write(raw(1, request(1)) + raw(0, Cancel(1)) + raw(2, Ping()))
        answers = [await read_frame(reader), await read_frame(reader)]
        assert sorted(answer.number for answer in answers) == [1, 2]
        assert heard == [request(1), "cancelled"]
    await serving


async def test_a_cancellation_that_comes_too_late_changes_nothing() -> None:
    async with channel_and_raw_peer(Role.ADMIN, State.INSERTED) as (admin, reader, writer):
        serving = asyncio.create_task(admin.serve(Answering(echo)))
        writer.write(raw(1, request(1)))
        assert (await read_frame(reader)).message == KeyReply(request(1).input)
        writer.write(raw(0, Cancel(1)) + raw(0, Cancel(77)) + raw(2, request(2)))
        assert (await read_frame(reader)).message == KeyReply(request(2).input)
    await serving


async def test_what_may_not_be_asked_now_is_not_sent() -> None:
    async with channels(State.AUTHENTICATED) as (admin, remote):
        serving = asyncio.create_task(admin.serve(Answering(echo)))
        with pytest.raises(ProtocolError):
            await remote.ask(request(1))
        with pytest.raises(ProtocolError):
            admin.notify(EjectCard("nothing is in"))
        assert await remote.ask(Ping()) == Pong()
    await serving


# Handshakes.


async def test_a_handshake_is_a_straight_line() -> None:
    async with channels(State.CHALLENGED) as (admin, remote):
        asking = asyncio.create_task(admin.ask(Proof(b"signature")))
        frame = await remote.next_question(DEADLINE)
        assert frame.message == Proof(b"signature")
        remote.answer(frame.number, Refusal(RefusalCode.PROOF, "no"))
        with pytest.raises(RefusedError, match="no"):
            await asking


async def test_a_peer_that_says_nothing_is_not_waited_for() -> None:
    async with channels(State.OPENED) as (_, remote):
        with pytest.raises(LinkError, match="Nothing was heard"):
            await remote.next_question(0.02)


async def test_a_peer_that_goes_during_the_handshake_ends_it() -> None:
    async with channels(State.OPENED) as (admin, remote):
        waiting = asyncio.create_task(remote.next_question(DEADLINE))
        admin.abort(LinkError("gone"))
        with pytest.raises(LinkError):
            await waiting


async def test_the_certificate_that_was_shown_and_the_address_are_known() -> None:
    async with channels() as (admin, remote):
        assert admin.peer_certificate == identity().certificate
        assert remote.peer_certificate == b""
        assert remote.peer_address == HOST
