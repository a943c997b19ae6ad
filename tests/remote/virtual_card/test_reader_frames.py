"""The frames of the reader's socket: byte by byte, cut short, oversized, out of turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import ProtocolError
from sra.piv.objects import ATR
from sra.remote.virtual_card.reader_frames import MAX_COMMAND, DriverQuestion, FrameKind, ReaderConversation, greeting


def frame(kind: int, body: bytes = b"") -> bytes:
    return bytes([kind]) + len(body).to_bytes(4, "big") + body


def test_the_greeting_tells_version_pin_pad_and_atr() -> None:
    assert greeting(ATR, pin_pad=True) == bytes.fromhex("01 00000014 01 01") + ATR
    assert greeting(ATR, pin_pad=False) == bytes.fromhex("01 00000014 01 00") + ATR


@pytest.mark.parametrize(
    ("kind", "body", "answer"),
    [
        (FrameKind.POWER_ON, b"", FrameKind.DONE),
        (FrameKind.POWER_OFF, b"", FrameKind.DONE),
        (FrameKind.APDU, b"\0\xa4\4\0", FrameKind.RESPONSE),
    ],
)
def test_every_question_has_its_answer(kind: FrameKind, body: bytes, answer: FrameKind) -> None:
    conversation = ReaderConversation()
    assert conversation.receive(frame(kind, body)) == DriverQuestion(kind, body)
    assert conversation.waiting() == frame(FrameKind.WAIT)
    assert conversation.answer(b"\x90\0") == frame(answer, b"\x90\0")


def test_a_question_comes_together_byte_by_byte() -> None:
    conversation, written = ReaderConversation(), frame(FrameKind.APDU, bytes(300))
    assert [conversation.receive(written[at : at + 1]) for at in range(len(written) - 1)] == [None] * 304
    assert conversation.receive(written[-1:]) == DriverQuestion(FrameKind.APDU, bytes(300))


@given(st.lists(st.binary(min_size=4, max_size=600), max_size=5), st.data())
def test_questions_are_the_same_however_they_are_cut(commands: list[bytes], data: st.DataObject) -> None:
    conversation = ReaderConversation()
    for command in commands:
        written = frame(FrameKind.APDU, command)
        cut = data.draw(st.integers(0, len(written)))
        found = [conversation.receive(part) for part in (written[:cut], written[cut:]) if part]
        assert [question.body for question in found if question] == [command]
        conversation.answer(b"\x90\0")


def test_the_longest_command_is_taken() -> None:
    question = ReaderConversation().receive(frame(FrameKind.APDU, bytes(MAX_COMMAND)))
    assert question is not None
    assert len(question.body) == MAX_COMMAND


@pytest.mark.parametrize(
    "kind", [0x00, 0x05, 0x7F, 0xFF, FrameKind.GREETING, FrameKind.DONE, FrameKind.RESPONSE, FrameKind.WAIT]
)
def test_a_kind_that_no_driver_sends_is_refused_at_its_first_byte(kind: int) -> None:
    with pytest.raises(ProtocolError):
        ReaderConversation().receive(bytes([kind]))


@pytest.mark.parametrize(
    "header",
    [
        bytes.fromhex("02 00000001"),
        bytes.fromhex("03 00000001"),
        bytes.fromhex("04 00000000"),
        bytes.fromhex("04 00000003"),
        bytes([FrameKind.APDU]) + (MAX_COMMAND + 1).to_bytes(4, "big"),
        bytes.fromhex("04 FFFFFFFF"),
    ],
)
def test_an_impossible_length_is_refused_before_the_body_comes(header: bytes) -> None:
    conversation = ReaderConversation()
    assert conversation.receive(header[:4]) is None
    with pytest.raises(ProtocolError):
        conversation.receive(header[4:])


def test_a_driver_that_does_not_wait_for_its_answer_is_refused() -> None:
    conversation = ReaderConversation()
    conversation.receive(frame(FrameKind.POWER_ON))
    with pytest.raises(ProtocolError):
        conversation.receive(b"\4")


def test_two_questions_at_once_are_refused() -> None:
    with pytest.raises(ProtocolError):
        ReaderConversation().receive(frame(FrameKind.POWER_ON) + b"\4")


def test_there_is_no_answer_without_a_question() -> None:
    conversation = ReaderConversation()
    conversation.receive(frame(FrameKind.POWER_ON))
    conversation.answer()
    with pytest.raises(ProtocolError):
        conversation.answer()


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_any_bytes_are_questions_or_refused(parts: list[bytes]) -> None:
    conversation = ReaderConversation()
    try:
        for part in parts:
            if conversation.receive(part) is not None:
                conversation.answer()
    except ProtocolError:
        return
