"""Messages are decoded strictly: one form each, and nothing beside it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sra.errors import RefusalCode
from sra.piv.keys import MAX_INPUT, MAX_PIN, KeyReply, KeyRequest, PinReply, PinRequest
from sra.wire import messages
from sra.wire.messages import ANSWER_TYPES, ANSWERS, MAX_CERTIFICATE, MAX_TEXT, Hello, Message, Welcome
from tests.wire.samples import KINDS, NONCE, SAMPLES, sample

DECODER = msgspec.msgpack.Decoder(Message)


def fields(message: Message) -> dict[str, Any]:
    """What stands in a message's bytes."""
    decoded: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
    return decoded


def decoded(raw: dict[str, Any]) -> Message:
    message: Message = DECODER.decode(msgspec.msgpack.encode(raw))
    return message


def is_refused(raw: dict[str, Any]) -> bool:
    try:
        decoded(raw)
    except msgspec.ValidationError:
        return True
    return False


def test_there_is_a_sample_of_each_kind_of_message() -> None:
    assert {type(message) for message in SAMPLES} == set(KINDS)


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    assert decoded(fields(message)) == message


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Hello])
def test_an_unknown_field_is_refused(kind: type[Message]) -> None:
    assert is_refused(fields(sample(kind)) | {"later": 1})


def test_a_hello_with_fields_of_a_later_version_passes() -> None:
    hello = sample(Hello)
    assert decoded(fields(hello) | {"later": [1, {"x": b"y"}], "another": None}) == hello


@pytest.mark.parametrize(
    "session",
    [
        "",
        "1a2b3c4",
        "1a2b3c4d5",
        "1A2B3C4D",
        "1a2b3c4d\n",
        "1a2b3c4 ",
        "\x1b[2Jaaaa",
        "１２３４５６７８",
        439041101,
        None,
    ],
)
def test_what_a_remote_calls_the_session_can_be_nothing_but_eight_digits(session: object) -> None:
    welcome = fields(sample(Welcome))
    assert decoded(welcome | {"session": "00ff11ee"})
    assert is_refused(welcome | {"session": session})


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_has_to_be_there(kind: type[Message]) -> None:
    whole = fields(sample(kind))
    for name in whole:
        assert is_refused({key: value for key, value in whole.items() if key != name}), name


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_has_one_type(kind: type[Message]) -> None:
    whole = fields(sample(kind))
    for name in whole:
        assert is_refused(whole | {name: 1.5}), name


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Hello, "versions", []),
        (Hello, "versions", [1] * 17),
        (Hello, "nonce", NONCE[:-1]),
        (Hello, "nonce", NONCE + b"x"),
        (Hello, "certificate", bytes(MAX_CERTIFICATE + 1)),
        (messages.Challenge, "nonce", b""),
        (messages.Proof, "signature", bytes(513)),
        (messages.Welcome, "account", "a" * 256),
        (messages.Refusal, "text", "a" * (MAX_TEXT + 1)),
        (messages.Refusal, "code", "no-such-code"),
        (messages.Cancel, "question", -1),
        (messages.Cancel, "question", 2**32),
        (messages.Attach, "secret", bytes(31)),
        (messages.Attach, "reader", 16),
        (PinRequest, "typed", b""),
        (PinRequest, "typed", b"1" * (MAX_PIN + 1)),
        (PinReply, "attempts_remaining", 16),
        (KeyRequest, "input", bytes(MAX_INPUT + 1)),
        (KeyRequest, "slot", 0x9B),
        (KeyRequest, "algorithm", 0x03),
        (KeyReply, "output", bytes(MAX_INPUT + 1)),
    ],
)
def test_a_value_out_of_bounds_is_refused(kind: type[Message], name: str, value: object) -> None:
    assert is_refused(fields(sample(kind)) | {name: value})


def test_every_reason_of_a_refusal_can_be_said() -> None:
    for code in RefusalCode:
        refusal = messages.Refusal(code, "")
        assert decoded(fields(refusal)) == refusal


def test_a_message_is_a_question_an_answer_or_a_notice() -> None:
    assert not set(ANSWERS) & ANSWER_TYPES
    notices = set(KINDS) - set(ANSWERS) - ANSWER_TYPES
    assert notices == {messages.EjectCard, messages.Remark, messages.Cancel, messages.Goodbye}


def test_a_pin_is_in_no_text_of_its_message() -> None:
    assert "123456" not in repr(PinRequest(b"123456"))
    assert repr(PinRequest(None)) != repr(PinRequest(b"123456"))


def test_each_waits_longer_than_the_one_that_it_asks_up_to_the_driver_in_c() -> None:
    header = (Path(__file__).resolve().parents[2] / "reader" / "link_time.h").read_text()
    (limit,) = re.findall(r"(?m)^#define ANSWER_LIMIT_MS (\d+)$", header)
    assert int(limit) == 1000 * messages.KEY_DEADLINE_OF_READER
    deadlines = [
        messages.KEY_DEADLINE_OF_SRAD,
        messages.KEY_DEADLINE_OF_VIRTUAL_CARD,
        messages.KEY_DEADLINE_OF_READER,
    ]
    assert all(asked + 5 <= asking for asked, asking in itertools.pairwise(deadlines))
