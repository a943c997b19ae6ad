"""Command and response APDUs, in all cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.piv.apdu import (
    ApduError,
    Command,
    Response,
    Status,
    StatusError,
    parse_command,
    parse_response,
    tries_remaining,
)

BYTE = st.integers(0, 255)
COMMANDS = st.builds(
    Command, BYTE, BYTE, BYTE, BYTE, st.binary(max_size=600), st.sampled_from([0, 1, 8, 255, 256, 257, 65_535, 65_536])
)


@pytest.mark.parametrize(
    ("case", "apdu", "data", "expected"),
    [
        ("1", "00200080", "", 0),
        ("2 short", "0020008010", "", 16),
        ("2 short, all", "0020008000", "", 256),
        ("3 short", "002000800231 32", "3132", 0),
        ("4 short", "00CB3FFF035C017E 08", "5C017E", 8),
        ("4 short, all", "00CB3FFF035C017E 00", "5C017E", 256),
        ("2 extended", "00CB3FFF 000100", "", 256),
        ("2 extended, all", "00CB3FFF 000000", "", 65_536),
        ("3 extended", "00CB3FFF 000003 5C017E", "5C017E", 0),
        ("4 extended", "00CB3FFF 000003 5C017E 0200", "5C017E", 512),
        ("4 extended, all", "00CB3FFF 000003 5C017E 0000", "5C017E", 65_536),
    ],
)
def test_every_case_is_read(case: str, apdu: str, data: str, expected: int) -> None:
    command = parse_command(bytes.fromhex(apdu))
    assert (command.data, command.expected) == (bytes.fromhex(data), expected), case


@pytest.mark.parametrize(
    "apdu",
    [
        "",
        "002000",
        "00200080023100FF00",
        "002000800331 32",
        "00200080 0000",
        "00200080 0031",
        "00200080 000000 31",
        "00200080 000002 31",
        "00200080 000001 31 00",
        "00200080 000001 31 000000",
    ],
)
def test_lengths_that_contradict_each_other_are_refused(apdu: str) -> None:
    with pytest.raises(ApduError):
        parse_command(bytes.fromhex(apdu))


@given(COMMANDS)
def test_what_was_written_is_read(command: Command) -> None:
    assert parse_command(command.encode()) == command


@given(st.binary(min_size=257, max_size=600), BYTE)  # with 256, the longest cut leaves a whole command without Le
def test_an_extended_command_cut_short_is_refused(data: bytes, end: int) -> None:
    written = Command(0, 0x87, 7, 0x9A, data, 256).encode()
    with pytest.raises(ApduError):
        parse_command(written[: 8 + end])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_command_or_refused(data: bytes) -> None:
    try:
        command = parse_command(data)
    except ApduError:
        return
    assert len(command.data) <= len(data)
    assert 0 <= command.expected <= 65_536


def test_a_short_command_is_written_short() -> None:
    assert Command(0, 0xCB, 0x3F, 0xFF, b"\x5c\x01\x7e", 256).encode() == bytes.fromhex("00CB3FFF035C017E00")


def test_a_long_command_is_written_extended() -> None:
    assert Command(0, 0x87, 7, 0x9A, bytes(256), 256).encode() == bytes.fromhex("0087079A000100") + bytes(256) + b"\1\0"


def test_a_response_is_data_and_a_status_word() -> None:
    assert parse_response(bytes.fromhex("01029000")) == Response(b"\x01\x02", Status.OK)
    assert Response(b"\x01\x02", Status.OK).encode() == bytes.fromhex("01029000")


@pytest.mark.parametrize("apdu", [b"", b"\x90"])
def test_a_response_without_a_status_word_is_refused(apdu: bytes) -> None:
    with pytest.raises(ApduError):
        parse_response(apdu)


def test_a_command_never_shows_its_data() -> None:
    assert "123456" not in repr(Command(0, 0x20, 0, 0x80, b"123456\xff\xff"))
    assert "313233343536" not in repr(Command(0, 0x20, 0, 0x80, b"123456\xff\xff"))


def test_tries_are_told_as_63cx_and_none_as_blocked() -> None:
    assert [tries_remaining(tries) for tries in (0, 1, 15)] == [0x6983, 0x63C1, 0x63CF]


def test_a_status_error_carries_its_status_word() -> None:
    assert StatusError(0x6A82).status == 0x6A82
