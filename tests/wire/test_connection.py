"""One end without I/O: numbers, open questions, limits, and what crosses on the way."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import ProtocolError, RefusalCode
from sra.piv.keys import KeyReply, PinOutcome, PinReply
from sra.wire import frames
from sra.wire.connection import MAX_OPEN_QUESTIONS, Connection
from sra.wire.frames import Frame
from sra.wire.messages import (
    NO_LIMITS,
    Attach,
    Attached,
    Cancel,
    CardInserted,
    Challenge,
    EjectCard,
    Goodbye,
    Hello,
    InsertCard,
    Message,
    Ping,
    Pong,
    Proof,
    Refusal,
    Welcome,
)
from sra.wire.states import Role, State
from tests.wire.samples import CONTENTS, KEY_REQUEST, NONCE, SAMPLES

HELLO = Hello((1,), NONCE, b"certificate")


def raw(number: int, message: Message) -> bytes:
    """What a peer that keeps no rules can send."""
    return frames.encode(Frame(number, message))


def pair(state: State = State.OPENED) -> tuple[Connection, Connection]:
    return Connection(Role.ADMIN, state), Connection(Role.REMOTE, state)


def exchange(asker: Connection, answerer: Connection, question: Message, answer: Message) -> None:
    number, data = asker.ask(question)
    assert answerer.receive_data(data) == [Frame(number, question)]
    assert asker.receive_data(answerer.answer(number, answer)) == [Frame(number, answer)]


def test_a_whole_connection_brings_both_ends_through_the_same_states() -> None:
    admin, remote = pair()
    steps: list[tuple[Connection, Connection, Message, Message, State]] = [
        (admin, remote, HELLO, Challenge(1, NONCE), State.CHALLENGED),
        (admin, remote, Ping(), Pong(), State.CHALLENGED),
        (admin, remote, Proof(b"signature"), Welcome("ann", "remote", NO_LIMITS, "1a2b3c4d"), State.AUTHENTICATED),
        (admin, remote, InsertCard(CONTENTS, pin_pad=True), CardInserted("reader"), State.INSERTED),
        (remote, admin, KEY_REQUEST, KeyReply(b"output"), State.INSERTED),
        (remote, admin, KEY_REQUEST, Refusal(RefusalCode.NOT_ALLOWED, "no"), State.INSERTED),
    ]
    for asker, answerer, question, answer, state in steps:
        exchange(asker, answerer, question, answer)
        assert admin.state is remote.state is state
    remote.receive_data(admin.notify(EjectCard("pulled")))
    admin.receive_data(remote.notify(EjectCard("ejected")))
    assert admin.state is remote.state is State.AUTHENTICATED
    admin.receive_data(remote.notify(Goodbye("stopping", final=False)))
    assert {admin.state, remote.state} == {State.CLOSED}


def test_the_local_port_begins_with_the_secret() -> None:
    srad, card = Connection(Role.ADMIN, State.DETACHED), Connection(Role.REMOTE, State.DETACHED)
    exchange(card, srad, Attach(NONCE, 0), Attached())
    assert srad.state is card.state is State.AUTHENTICATED


def test_a_refused_insertion_leaves_the_connection_as_it_was() -> None:
    admin, remote = pair(State.AUTHENTICATED)
    exchange(admin, remote, InsertCard(CONTENTS, pin_pad=True), Refusal(RefusalCode.NO_READER, "full"))
    assert admin.state is remote.state is State.AUTHENTICATED


def test_byte_by_byte_frames_come_out_when_they_are_complete() -> None:
    admin, remote = pair(State.INSERTED)
    stream = b"".join(remote.ask(KEY_REQUEST)[1] for _ in range(3))
    heard = [frame for byte in stream for frame in admin.receive_data(bytes([byte]))]
    assert [frame.number for frame in heard] == [1, 2, 3]


def test_answers_may_come_in_any_order() -> None:
    admin, remote = pair(State.INSERTED)
    for expected in (1, 2, 3):
        number, data = remote.ask(KEY_REQUEST)
        assert number == expected
        admin.receive_data(data)
    for number in (2, 3, 1):
        answer = KeyReply(bytes([number]))
        assert remote.receive_data(admin.answer(number, answer)) == [Frame(number, answer)]


@pytest.mark.parametrize("number", [0, 2, 2**32 - 1])
def test_an_answer_to_nothing_asked_is_refused(number: int) -> None:
    _, remote = pair(State.INSERTED)
    remote.ask(KEY_REQUEST)
    with pytest.raises(ProtocolError, match="answers no question"):
        remote.receive_data(raw(number, KeyReply(b"")))


def test_a_second_answer_is_refused() -> None:
    _, remote = pair(State.INSERTED)
    number, _ = remote.ask(KEY_REQUEST)
    remote.receive_data(raw(number, KeyReply(b"")))
    with pytest.raises(ProtocolError):
        remote.receive_data(raw(number, KeyReply(b"")))


@pytest.mark.parametrize("answer", [PinReply(PinOutcome.VERIFIED, 3), Pong()])
def test_an_answer_of_the_wrong_kind_is_refused(answer: Message) -> None:
    _, remote = pair(State.INSERTED)
    number, _ = remote.ask(KEY_REQUEST)
    with pytest.raises(ProtocolError):
        remote.receive_data(raw(number, answer))


def test_only_a_question_that_was_heard_can_be_answered_once_and_fittingly() -> None:
    admin, remote = pair(State.INSERTED)
    number, data = remote.ask(KEY_REQUEST)
    admin.receive_data(data)
    wrongs: list[tuple[int, Message]] = [(number + 1, KeyReply(b"")), (number, Pong())]
    for wrong_number, wrong in wrongs:
        with pytest.raises(ProtocolError):
            admin.answer(wrong_number, wrong)
    assert admin.is_waiting(number)
    admin.answer(number, KeyReply(b""))
    assert not admin.is_waiting(number)
    with pytest.raises(ProtocolError):
        admin.answer(number, KeyReply(b""))


@pytest.mark.parametrize("number", [0, 4, 5])
def test_a_question_with_an_old_number_is_refused(number: int) -> None:
    admin, _ = pair(State.INSERTED)
    admin.receive_data(raw(5, KEY_REQUEST))
    with pytest.raises(ProtocolError, match="after question 5"):
        admin.receive_data(raw(number, KEY_REQUEST))


def test_numbers_may_leave_gaps() -> None:
    admin, _ = pair(State.INSERTED)
    assert len(admin.receive_data(raw(5, KEY_REQUEST) + raw(2**32 - 1, KEY_REQUEST))) == 2


@pytest.mark.parametrize("notice", [EjectCard("out"), Cancel(1), Goodbye("bye", final=True)])
def test_a_notice_with_a_number_is_refused(notice: Message) -> None:
    admin, _ = pair(State.INSERTED)
    with pytest.raises(ProtocolError, match="with the number 1"):
        admin.receive_data(raw(1, notice))


def test_more_open_questions_than_anybody_has_are_refused() -> None:
    admin, remote = pair(State.INSERTED)
    for _ in range(MAX_OPEN_QUESTIONS):
        admin.receive_data(remote.ask(KEY_REQUEST)[1])
    with pytest.raises(ProtocolError, match="open questions"):
        admin.receive_data(remote.ask(KEY_REQUEST)[1])


def test_an_answered_question_makes_room_for_another() -> None:
    admin, remote = pair(State.INSERTED)
    for _ in range(MAX_OPEN_QUESTIONS):
        admin.receive_data(remote.ask(KEY_REQUEST)[1])
    admin.answer(1, KeyReply(b""))
    assert admin.receive_data(remote.ask(KEY_REQUEST)[1])


@pytest.mark.parametrize(
    ("role", "state", "limit"),
    [
        (Role.REMOTE, State.OPENED, frames.MAX_HANDSHAKE),
        (Role.REMOTE, State.CHALLENGED, frames.MAX_HANDSHAKE),
        (Role.REMOTE, State.AUTHENTICATED, frames.MAX_FROM_ADMIN),
        (Role.ADMIN, State.GREETED, frames.MAX_FROM_REMOTE),
        (Role.ADMIN, State.INSERTED, frames.MAX_FROM_REMOTE),
        (Role.ADMIN, State.DETACHED, frames.MAX_FROM_REMOTE),
    ],
)
def test_a_peer_may_send_as_much_as_its_part_needs(role: Role, state: State, limit: int) -> None:
    assert Connection(role, state).receive_data(limit.to_bytes(4, "big")) == []
    with pytest.raises(ProtocolError, match="bytes"):
        Connection(role, state).receive_data((limit + 1).to_bytes(4, "big"))


def test_ejections_that_cross_end_in_the_same_state() -> None:
    admin, remote = pair(State.INSERTED)
    from_admin, from_remote = admin.notify(EjectCard("pulled")), remote.notify(EjectCard("reader gone"))
    admin.receive_data(from_remote)
    remote.receive_data(from_admin)
    assert admin.state is remote.state is State.AUTHENTICATED


def test_a_key_request_may_cross_the_admins_ejection() -> None:
    admin, remote = pair(State.INSERTED)
    ejection = admin.notify(EjectCard("pulled"))
    number, request = remote.ask(KEY_REQUEST)
    admin.receive_data(request)
    remote.receive_data(ejection)
    remote.receive_data(admin.answer(number, Refusal(RefusalCode.NOT_INSERTED, "ejected")))
    admin.receive_data(remote.notify(EjectCard("ejected")))
    assert admin.state is remote.state is State.AUTHENTICATED


def test_no_key_request_follows_an_ejection_that_was_heard() -> None:
    admin, remote = pair(State.INSERTED)
    remote.receive_data(admin.notify(EjectCard("pulled")))
    admin.receive_data(remote.notify(EjectCard("ejected")))
    with pytest.raises(ProtocolError):
        remote.ask(KEY_REQUEST)
    with pytest.raises(ProtocolError):
        admin.receive_data(raw(1, KEY_REQUEST))


def test_an_answer_may_come_after_the_ejection_and_into_the_next_insertion() -> None:
    admin, remote = pair(State.INSERTED)
    numbers = []
    for _ in range(2):
        number, data = remote.ask(KEY_REQUEST)
        admin.receive_data(data)
        numbers.append(number)
    admin.receive_data(remote.notify(EjectCard("reader gone")))
    remote.receive_data(admin.answer(numbers[0], KeyReply(b"late")))
    remote.receive_data(admin.notify(EjectCard("confirmed")))
    remote.receive_data(admin.ask(InsertCard(CONTENTS, pin_pad=True))[1])
    late = remote.receive_data(admin.answer(numbers[1], Refusal(RefusalCode.TIMEOUT, "nobody waits")))
    assert [frame.number for frame in late] == [numbers[1]]
    assert remote.state is State.INSERTING


def test_a_cancelled_question_still_gets_its_answer() -> None:
    admin, remote = pair(State.INSERTED)
    number, data = remote.ask(KEY_REQUEST)
    admin.receive_data(data + remote.notify(Cancel(number)))
    assert admin.is_waiting(number)
    remote.receive_data(admin.answer(number, Refusal(RefusalCode.TIMEOUT, "nobody waits")))


def test_what_may_not_be_said_now_changes_nothing() -> None:
    admin, remote = pair(State.AUTHENTICATED)
    with pytest.raises(ProtocolError):
        admin.notify(EjectCard("nothing is inserted"))
    with pytest.raises(ProtocolError):
        remote.ask(KEY_REQUEST)
    exchange(admin, remote, InsertCard(CONTENTS, pin_pad=True), CardInserted("reader"))
    exchange(remote, admin, KEY_REQUEST, KeyReply(b"output"))


@given(state=st.sampled_from(State), role=st.sampled_from(Role), data=st.binary(max_size=100))
def test_garbage_raises_nothing_but_a_broken_rule(state: State, role: Role, data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        Connection(role, state).receive_data(data)


@given(
    state=st.sampled_from(State),
    role=st.sampled_from(Role),
    sent=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(SAMPLES)), max_size=8),
)
def test_any_messages_in_any_order_are_taken_or_raise_a_broken_rule(
    state: State, role: Role, sent: list[tuple[int, Message]]
) -> None:
    connection = Connection(role, state)
    try:
        heard = connection.receive_data(b"".join(raw(number, message) for number, message in sent))
    except ProtocolError:
        return
    assert [(frame.number, frame.message) for frame in heard] == sent
