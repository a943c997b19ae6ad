"""Frames, fed byte by byte, cut short, and as garbage."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import ProtocolError
from sra.piv.keys import PinRequest
from sra.wire import frames
from sra.wire.frames import HEADER_BYTES, Frame
from sra.wire.messages import ANSWERS, MAX_CERTIFICATE, Hello, InsertCard, Message, Ping
from tests.wire.samples import CONTENTS, KINDS, NONCE, SAMPLES

LIMIT = frames.MAX_HANDSHAKE

garbage = st.binary(max_size=200)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
tags = st.sampled_from([str(kind.__struct_config__.tag) for kind in KINDS])
messages = st.sampled_from(SAMPLES)
numbers = st.integers(0, 2**32 - 1)


def header(length: int) -> bytes:
    return length.to_bytes(HEADER_BYTES, "big")


def framed(body: bytes) -> bytes:
    return header(len(body)) + body


def decode_all(data: bytes) -> list[Frame]:
    received, complete = bytearray(data), []
    while (frame := frames.decode(received, LIMIT)) is not None:
        complete.append(frame)
    return complete


@given(number=numbers, message=messages)
def test_a_frame_comes_out_as_it_went_in(number: int, message: Message) -> None:
    assert decode_all(frames.encode(Frame(number, message))) == [Frame(number, message)]


@given(number=numbers, certificate=st.binary(max_size=MAX_CERTIFICATE), versions=st.lists(numbers, min_size=1))
def test_any_hello_comes_out_as_it_went_in(number: int, certificate: bytes, versions: list[int]) -> None:
    frame = Frame(number, Hello(tuple(versions[:16]), NONCE, certificate))
    assert decode_all(frames.encode(frame)) == [frame]


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_byte_by_byte_a_frame_is_there_with_its_last_byte_and_not_before(message: Message) -> None:
    received = bytearray()
    *first, last = frames.encode(Frame(3, message))
    for byte in first:
        received.append(byte)
        assert frames.decode(received, LIMIT) is None
    received.append(last)
    assert frames.decode(received, LIMIT) == Frame(3, message)
    assert received == b""


@given(sent=st.lists(messages, max_size=5), cut=st.integers(0, 600))
def test_the_rest_of_a_stream_waits_for_what_is_missing(sent: list[Message], cut: int) -> None:
    stream = b"".join(frames.encode(Frame(number, message)) for number, message in enumerate(sent))
    received, complete = bytearray(), []
    for part in (stream[:cut], stream[cut:]):
        received += part
        while (frame := frames.decode(received, LIMIT)) is not None:
            complete.append(frame.message)
    assert complete == sent
    assert not received


@pytest.mark.parametrize("length", [0, LIMIT + 1, 2**31, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_as_soon_as_the_header_is_there(length: int) -> None:
    assert frames.decode(bytearray(header(length)[:-1]), LIMIT) is None
    with pytest.raises(ProtocolError):
        frames.decode(bytearray(header(length)), LIMIT)


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    body = frames.encode(Frame(1, Ping()))[HEADER_BYTES:]
    assert frames.decode(bytearray(framed(body)), len(body)) == Frame(1, Ping())
    with pytest.raises(ProtocolError):
        frames.decode(bytearray(framed(body)), len(body) - 1)


def test_the_largest_hello_fits_into_what_a_stranger_may_send() -> None:
    hello = Hello((2**63,) * 16, NONCE, bytes(MAX_CERTIFICATE))
    assert frames.decode(bytearray(frames.encode(Frame(2**32 - 1, hello))), frames.MAX_HANDSHAKE) is not None


def test_the_largest_card_fits_into_what_an_admin_may_send() -> None:
    full = msgspec.structs.replace(CONTENTS, objects={0x5FC100 + number: bytes(8192) for number in range(28)})
    card = InsertCard(full, pin_pad=False)
    assert frames.decode(bytearray(frames.encode(Frame(1, card))), frames.MAX_FROM_ADMIN) is not None


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_body_cut_short_or_longer_is_refused(message: Message) -> None:
    body = frames.encode(Frame(1, message))[HEADER_BYTES:]
    for wrong in [*(body[:length] for length in range(1, len(body))), body + b"\x00"]:
        with pytest.raises(ProtocolError):
            decode_all(framed(wrong))


@given(body=garbage)
def test_garbage_is_a_broken_rule_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_all(framed(body))


@given(data=garbage)
def test_a_stream_of_garbage_is_a_broken_rule_or_waits_for_more(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert decode_all(data) == []


@given(number=values, tag=tags, more=st.dictionaries(st.text(max_size=12), values, max_size=4))
def test_a_message_with_anything_in_it_is_read_or_refused(number: object, tag: str, more: dict[str, object]) -> None:
    data = framed(msgspec.msgpack.encode([number, more | {"type": tag}]))
    with contextlib.suppress(ProtocolError):
        assert len(decode_all(data)) == 1


@pytest.mark.parametrize(
    "body",
    [
        msgspec.msgpack.encode([1, {"type": "ping"}, 0]),
        msgspec.msgpack.encode([{"type": "ping"}]),
        msgspec.msgpack.encode([-1, {"type": "ping"}]),
        msgspec.msgpack.encode([2**32, {"type": "ping"}]),
        msgspec.msgpack.encode(["1", {"type": "ping"}]),
        msgspec.msgpack.encode([1, {"type": "no-such-message"}]),
        msgspec.msgpack.encode([1, {}]),
        b"\x92\x01\x81\xa4type\xa4p\xffng",
        b"\x92\x01\x83\xa4type\xa5hello\xa3new" + b"\x91" * 30_000,
        b"\x92\x01\x82\xa4type\xa5hello\xa8versions\xdd\xff\xff\xff\xff\x01",
    ],
    ids=[
        "longer", "shorter", "negative", "too-large", "not-a-number", "unknown", "untagged", "not-utf-8", "deep",
        "a-huge-count",
    ],
)  # fmt: skip
def test_what_is_not_exactly_a_frame_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_all(framed(body))


def test_what_is_refused_is_not_quoted() -> None:
    typed = frames.encode(Frame(1, PinRequest(b"123456")))[HEADER_BYTES:].replace(b"typed", b"tipyd")
    with pytest.raises(ProtocolError) as refused:
        decode_all(framed(typed))
    assert "123456" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_each_question_has_at_least_one_answer() -> None:
    assert all(ANSWERS.values())
