import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.remote.accounts import ldap_messages
from sra.remote.accounts.ldap_messages import (
    MAX_ELEMENTS,
    MAX_MESSAGE,
    LdapEntry,
    LdapFormatError,
    Reference,
    Result,
    Search,
    decode,
    equal,
    length_of_body,
    length_of_length,
)
from tests.remote.accounts.hostile_server import SEARCH_DONE, element, entry, message, reference, result

HEADER = 6
"""Bytes before the body of the messages that ``hostile_server`` makes."""


def body(data: bytes) -> bytes:
    return data[HEADER:]


def test_the_requests_are_those_of_the_standard() -> None:
    assert ldap_messages.start_tls(1).hex() == "301d02010177188016" + b"1.3.6.1.4.1.1466.20037".hex()
    assert ldap_messages.bind(2, "cn=x", b"pw").hex() == "3012020102600d0201030404636e3d7880027077"
    wanted = Search("dc=x", equal("uid", b"a"), ("uid",), 2, 5)
    assert ldap_messages.search(3, wanted).hex() == (
        "302b0201036326040464633d780a01020a0100020102020105010100a308040375696404016130050403756964"
    )


@pytest.mark.parametrize("value", ["*", "*)(uid=*", "a\\2a", "(&)", "\0", "é", "a" * 200])
def test_a_value_is_sent_as_the_bytes_that_it_is_and_in_one_element(value: str) -> None:
    data = value.encode()
    size = bytes([len(data)]) if len(data) < 128 else bytes([0x81, len(data)])
    assert equal("uid", data).endswith(b"\x04" + size + data)


def test_both_conditions_are_in_an_or() -> None:
    one, other = equal("a", b"1"), equal("b", b"2")
    assert ldap_messages.any_of(one, other) == b"\xa1" + bytes([len(one + other)]) + one + other


def test_an_entry_is_read_with_every_value() -> None:
    data = entry("uid=alice", uid=[b"alice"], mail=[b"a@b.c", b"d@e.f"])
    assert decode(body(data), 3) == LdapEntry("uid=alice", {"uid": (b"alice",), "mail": (b"a@b.c", b"d@e.f")})
    data = entry("x", **{"userCertificate;binary": [b"1"], "UserCertificate": [b"2"]})
    assert decode(body(data), 3) == LdapEntry("x", {"usercertificate": (b"1", b"2")})


def test_results_and_references_are_read() -> None:
    assert decode(body(result(3, SEARCH_DONE, 32, b"no such\nobject")), 3) == Result("search", 32, "no such?object")
    assert decode(body(reference()), 3) == Reference()
    with_controls = body(result(3, SEARCH_DONE)) + element(0xA0, b"")
    assert decode(with_controls, 3) == Result("search", 0, "")


@pytest.mark.parametrize(("said", "number"), [(0, 3), (2, 3), (255, 3)])
def test_an_answer_to_another_request_is_an_error(said: int, number: int) -> None:
    with pytest.raises(LdapFormatError, match="instead of"):
        decode(body(result(said, SEARCH_DONE)), number)


@pytest.mark.parametrize(
    "operation",
    [
        b"", element(0x60, b""), element(0x79, b""), element(SEARCH_DONE, b""), element(SEARCH_DONE, element(2, b"")),
        element(0x64, b""), element(0x64, element(4, b"") + element(0x31, b"")), element(0x64, element(4, b"")),
        element(0x64, element(4, b"") + element(0x30, element(4, b""))),
        element(0x64, element(4, b"") + element(0x30, element(0x30, element(4, b"uid") + element(4, b"alice")))),
        element(0x64, element(4, b"") + element(0x30, b"\x30\x80")),
    ],
)  # fmt: skip
def test_messages_of_another_form_are_errors(operation: bytes) -> None:
    with pytest.raises(LdapFormatError):
        decode(body(message(3, operation)), 3)


def test_a_message_that_is_cut_short_is_an_error() -> None:
    whole = body(entry("uid=alice", uid=[b"alice"]))
    for size in range(len(whole)):
        with pytest.raises(LdapFormatError):
            decode(whole[:size], 3)


def test_too_many_values_are_an_error() -> None:
    with pytest.raises(LdapFormatError, match="too many"):
        decode(body(entry("x", uid=[b""] * (MAX_ELEMENTS + 1))), 3)


@pytest.mark.parametrize(("start", "more"), [(b"\x30\x00", 0), (b"\x30\x7f", 0), (b"\x30\x81", 1), (b"\x30\x84", 4)])
def test_a_length_says_how_long_it_is(start: bytes, more: int) -> None:
    assert length_of_length(start) == more


@pytest.mark.parametrize("start", [b"\x31\x00", b"HT", b"\x30\x80", b"\x30\x85", b"\x30\xff", b"\x16\x03"])
def test_what_begins_otherwise_is_no_message(start: bytes) -> None:
    with pytest.raises(LdapFormatError):
        length_of_length(start)


def test_a_message_has_a_greatest_length() -> None:
    assert length_of_body(b"\x30\x05") == 5
    assert length_of_body(b"\x30\x84" + MAX_MESSAGE.to_bytes(4)) == MAX_MESSAGE
    with pytest.raises(LdapFormatError, match="at most"):
        length_of_body(b"\x30\x84" + (MAX_MESSAGE + 1).to_bytes(4))


@given(st.binary(max_size=100))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with contextlib.suppress(LdapFormatError):
        decode(data, 3)


@given(st.binary(max_size=20), st.integers(0, 80))
def test_no_damage_breaks_the_reader(garbage: bytes, at: int) -> None:
    whole = body(entry("uid=alice", uid=[b"alice"], mail=[b"a@b.c"]))
    with contextlib.suppress(LdapFormatError):
        decode(whole[:at] + garbage + whole[at + len(garbage) :], 3)
