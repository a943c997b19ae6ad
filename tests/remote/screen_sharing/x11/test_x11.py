"""What is read from an X server: replies among events and errors, and a setup."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from sra.remote.screen_sharing.x11.x11 import RequestError, X11Connection, X11Screen, cookie_in

EVENT = bytes([12]) + bytes(31)
LONG_EVENT = struct.pack("<BxHI24x", 35, 0, 2) + bytes(8)


def reply(number: int, value: int) -> bytes:
    return struct.pack("<BxHII20xI", 1, number, 1, value, 0xFFFFFFFF)


def error(number: int) -> bytes:
    return struct.pack("<BBH28x", 0, 3, number)


@pytest.fixture
def ends() -> Iterator[tuple[X11Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield X11Connection(ours), theirs


def test_a_reply_is_found_among_events_and_errors_of_earlier_requests(
    ends: tuple[X11Connection, socket.socket],
) -> None:
    connection, server = ends
    connection.request(8, 0, bytes(4))
    server.sendall(EVENT + error(1) + LONG_EVENT + reply(2, 77))
    assert connection.atom(b"NAME") == 77
    assert server.recv(100) == bytes([8, 0, 2, 0, 0, 0, 0, 0]) + bytes([16, 0, 3, 0, 4, 0, 0, 0]) + b"NAME"


def test_an_error_is_told(ends: tuple[X11Connection, socket.socket]) -> None:
    connection, server = ends
    server.sendall(error(1))
    with pytest.raises(RequestError):
        connection.ask(48, 0, bytes(4))


def test_a_server_that_goes_is_told(ends: tuple[X11Connection, socket.socket]) -> None:
    connection, server = ends
    server.sendall(EVENT + reply(1, 1)[:20])
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError):
        connection.atom(b"NAME")


def test_the_first_screen_is_read_from_the_setup(ends: tuple[X11Connection, socket.socket]) -> None:
    connection, server = ends
    head = struct.pack("<IIIIHHBB10x", 0, 0x400000, 0, 0, 5, 0, 2, 1)
    screen = struct.pack("<I16xHH", 0x52F, 1024, 768)
    setup = head + b"X.Org\0\0\0" + bytes(8) + screen + bytes(12)
    server.sendall(struct.pack("<BxxxxxH", 1, len(setup) // 4) + setup)
    connection.open(b"cookie")
    assert connection.screen == X11Screen(first_id=0x400000, root=0x52F, width=1024, screens=2)
    assert b"MIT-MAGIC-COOKIE-1" in server.recv(100)


def test_a_cookie_that_is_wrong_opens_nothing(ends: tuple[X11Connection, socket.socket]) -> None:
    connection, server = ends
    server.sendall(struct.pack("<BxxxxxH", 0, 1) + b"No!\0")
    with pytest.raises(ConnectionRefusedError):
        connection.open(b"wrong")


@pytest.mark.parametrize(("data", "cookie"), [(b"", b""), (b"\xff\xff\0\0\0\x010\0\x01N\0\x02ab", b"ab")])
def test_the_cookie_is_the_last_field_of_its_file(data: bytes, cookie: bytes) -> None:
    assert cookie_in(data) == cookie
