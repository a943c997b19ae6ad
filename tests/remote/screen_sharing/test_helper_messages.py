"""What can be asked of the root helper: six things, each exactly so."""

from __future__ import annotations

import contextlib
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import ProtocolError
from sra.remote.screen_sharing import helper_messages
from sra.remote.screen_sharing.helper_messages import (
    Burn,
    Collect,
    Done,
    Ended,
    Failed,
    Grant,
    Granted,
    Lock,
    Open,
    Recorded,
    Written,
)

REQUESTS = [Grant(view_only=True, by="ann (192.0.2.1)"), Open(), Lock(), Burn(), Collect(), Written("a.mkv")]
REPLIES = [
    Granted("_srascreen", "p" * 24, 60),
    Granted("_srascreen", "p" * 24, 60, "20260102T030405Z_ann_01234567"),
    Done(),
    Failed("no"),
    Failed("no", is_refusal=True),
    Ended("over"),
    Recorded("a.mkv", 2**40, "0" * 64),
]


def test_requests_and_replies_arrive_as_they_were_sent() -> None:
    assert [helper_messages.decode_request(helper_messages.encode(each)) for each in REQUESTS] == REQUESTS
    assert [helper_messages.decode_reply(helper_messages.encode(each)) for each in REPLIES] == REPLIES
    assert {type(each) for each in REQUESTS} == set(get_args(helper_messages.Request))


def test_the_longest_packet_is_within_the_limit() -> None:
    longest = helper_messages.encode(Grant(view_only=True, by="\x01" * 400))
    assert len(longest) <= helper_messages.MAX_PACKET


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"burn",
        b'{"type":"burn","more":1}',
        b'{"type":"grant"}',
        b'{"type":"grant","view_only":1,"by":"x"}',
        b'{"type":"grant","view_only":false,"by":"' + b"x" * 401 + b'"}',
        b'{"type":"run","argv":["sh"]}',
        b'{"type":"written"}',
        b'{"type":"written","name":"' + b"x" * 401 + b'"}',
        b'{"type":"burn"}{"type":"burn"}',
        b"[" * 4000,
        b"\xff\xfe",
    ],
)
def test_anything_else_is_no_request(packet: bytes) -> None:
    with pytest.raises(ProtocolError, match="does not know"):
        helper_messages.decode_request(packet)


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_packet_or_an_error(packet: bytes) -> None:
    for parse in (helper_messages.decode_request, helper_messages.decode_reply):
        with contextlib.suppress(ProtocolError):
            parse(packet)
