"""What a viewer, a screen server and an X server say."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

from fuzz.target import attempt, must, run, target
from sra.errors import LinkError, ProtocolError
from sra.remote.screen_sharing.wayland import wayvnc_proxy
from sra.remote.screen_sharing.wayland.wayvnc_proxy import LoginClaim
from sra.remote.screen_sharing.x11 import console_x11, display_x11, displays_linux, x11
from sra.remote.screen_sharing.x11.console_x11 import BlankingError
from sra.remote.screen_sharing.x11.x11 import RequestError
from sra.transport.stream import Stream

_RFB = (b"RFB 003.008\n", b"\x13", b"\x00\x02", b"\x00\x00\x01\x00", b"\x00\x00\x00\x03\x00\x00\x00\x03annpin")
MAX_READ = 64 * 1024 * 1024
"""Bytes that may be asked for at once."""


class _End:
    """The other end of a stream: all that it will ever send, and what was sent to it."""

    def __init__(self, data: bytes) -> None:
        self._rest = data
        self.written = b""

    async def read(self, size: int, _: float) -> bytes:
        must(0 <= size <= MAX_READ, "no more is waited for than there may be")
        if size > len(self._rest):
            raise LinkError("the end")
        part, self._rest = self._rest[:size], self._rest[size:]
        return part

    def write(self, data: bytes) -> None:
        self.written += data


@target(max_len=2048, words=_RFB)
def fuzz_viewer_login(data: bytes) -> None:
    """A viewer that wants to be let in, and a screen server behind the door."""
    claims: list[LoginClaim] = []

    async def judge(claim: LoginClaim) -> bool:
        claims.append(claim)
        return True

    viewer = _End(data)
    attempt((LinkError, ProtocolError), run, wayvnc_proxy.admit(cast("Stream", viewer), judge))
    for claim in claims:
        must(len(claim.username) <= wayvnc_proxy.MAX_NAME, "a name is bounded")
        must(len(claim.password) <= wayvnc_proxy.MAX_PASSWORD, "a password is bounded")
    attempt((LinkError, ProtocolError), run, wayvnc_proxy.enter(cast("Stream", _End(data))))
    attempt((LinkError, ProtocolError), run, wayvnc_proxy.let_in(cast("Stream", viewer), cast("Stream", _End(data))))


class _XServer:
    """An X server that has sent all that it will."""

    def __init__(self, data: bytes) -> None:
        self._rest = data
        self.asked = 0

    def sendall(self, data: bytes) -> None:
        self.asked += 1
        must(len(data) % 4 == 0 and len(data) < 2**18, "requests are whole words")

    def recv(self, size: int) -> bytes:
        must(size <= MAX_READ, "no more is asked for than there may be")
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


_GONE = (OSError, RequestError, BlankingError)


def _with_server(data: bytes, use: Callable[[x11.X11Connection], Any]) -> None:
    connection = x11.X11Connection(cast("socket.socket", _XServer(data)))
    if attempt(_GONE, connection.open, b"cookie") is None and connection.screen.root:
        attempt(_GONE, use, connection)


def _sizes(connection: x11.X11Connection) -> None:
    for width, height in display_x11.sizes(connection):
        must(0 <= width < 65536 and 0 <= height < 65536, "a size is one")


def _console(connection: x11.X11Connection) -> None:
    console = console_x11.Console(connection)
    console.darken()


@target(words=(b"\x01\x00\x0b\x00\x00\x00", b"\x01" + bytes(31), b"\x16" + bytes(31), b"\x00\x00\x00\x80"))
def fuzz_x11(data: bytes) -> None:
    """An X server that answers anything, to the programs that show a notice, measure, and darken the console."""
    for use in (_sizes, _console):
        _with_server(data, use)
        _with_server(setup() + data, use)


def setup() -> bytes:
    """A good beginning of a connection: one screen of 640 by 480."""
    screen = (
        (5).to_bytes(4, "little") + bytes(16) + (640).to_bytes(2, "little") + (480).to_bytes(2, "little") + bytes(16)
    )
    fixed = bytes(4) + (7).to_bytes(4, "little") + bytes(8) + bytes(4) + bytes((1, 0)) + bytes(10)
    body = fixed + screen
    return b"\x01\x00\x0b\x00\x00\x00" + (len(body) // 4).to_bytes(2, "little") + body


@target(words=(b"MIT-MAGIC-COOKIE-1", b"\x00\x12", b"\xff\xff"))
def fuzz_cookies(data: bytes) -> None:
    """A file of an X server's cookies."""
    must(len(x11.cookie_in(data)) <= len(data), "a cookie is of the file")
    for name, value in displays_linux._cookies(data):
        must(len(name) + len(value) <= len(data), "a cookie is of the file")
