"""A connection to an X server of this machine, for the small programs that run as the screen's account.

It speaks X11 itself (X Window System Protocol, X.Org 1.0; all numbers little-endian): what they ask for is a dozen
requests that have been as they are for decades, and a library would be the larger part of them
(docs/decisions/0032).
"""

from __future__ import annotations

import select
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_REPLY = 4 * 1024 * 1024
"""Bytes of a reply or an event: a gamma ramp has at most 384 KiB, and a reply could announce 16 GiB."""

_ERROR, _REPLY, _GENERIC_EVENT = 0, 1, 35


class MalformedError(ConnectionError):
    """The server said something that is not X11: it counts as gone."""


class RequestError(Exception):
    """The server did not do what it was asked for: it names something that has just gone, perhaps."""


@dataclass(frozen=True)
class X11Screen:
    """What the server says of itself: the numbers that we may give to things, its root window and width.

    ``screens``: how many it has; this is the first.
    """

    first_id: int
    root: int
    width: int
    screens: int


class X11Connection:
    """A connection to an X server. Its methods raise ``OSError`` when the server has gone."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._requests = 0
        self.screen = X11Screen(0, 0, 0, 0)

    def open(self, cookie: bytes) -> None:
        """Show the cookie, and learn of the screen."""
        name = b"MIT-MAGIC-COOKIE-1" if cookie else b""
        head = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), len(cookie))
        self._socket.sendall(head + _padded(name) + _padded(cookie))
        accepted, length = struct.unpack("<BxxxxxH", self.read(8))
        setup = self.read(4 * length)
        if accepted != 1:
            raise ConnectionRefusedError
        first_id, vendor, screens, formats = unpacked("<IxxxxxxxxHxxBB", setup, 4)
        place = 32 + vendor + -vendor % 4 + 8 * formats
        root, width = unpacked("<I", setup, place)[0], unpacked("<H", setup, place + 20)[0]
        self.screen = X11Screen(first_id, root, width, screens)

    def request(self, opcode: int, detail: int, body: bytes) -> None:
        """Ask for something that has no reply."""
        data = _padded(body)
        self._socket.sendall(struct.pack("<BBH", opcode, detail, 1 + len(data) // 4) + data)
        self._requests += 1

    def ask(self, opcode: int, detail: int, body: bytes) -> bytes:
        """The reply to a request; ``RequestError`` if it is an error. Events that come before it are dropped."""
        self.request(opcode, detail, body)
        while True:
            packet = self.packet()
            number = int.from_bytes(packet[2:4], "little")
            if packet[0] == _REPLY:
                return packet
            if packet[0] == _ERROR and number == self._requests & 0xFFFF:
                raise RequestError(f"request {opcode}.{detail}: error {packet[1]}")

    def atom(self, name: bytes) -> int:
        """The number of a name (InternAtom)."""
        return int(unpacked("<I", self.ask(16, 0, struct.pack("<Hxx", len(name)) + name), 8)[0])

    def extension(self, name: bytes) -> int:
        """The opcode of an extension's requests (QueryExtension), 0 if the server has none of that name."""
        is_present, opcode = self.ask(98, 0, struct.pack("<Hxx", len(name)) + name)[8:10]
        return opcode if is_present else 0

    def packet(self) -> bytes:
        """An event, a reply or an error, the whole of it: 32 bytes at least."""
        head = self.read(32)
        if head[0] & 0x7F not in {_REPLY, _GENERIC_EVENT}:
            return head
        length = 4 * int.from_bytes(head[4:8], "little")
        if length > MAX_REPLY:
            raise MalformedError(f"a reply of {length} bytes")
        return head + self.read(length)

    def read(self, size: int) -> bytes:
        """So many bytes; ``ConnectionError`` when the server has gone."""
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError
            data += part
        return bytes(data)

    def wait(self, seconds: float, *others: int) -> bool:
        """Whether something is to be read within this time; what comes at another file ends the wait too."""
        ours = self._socket.fileno()
        return ours in select.select([ours, *others], [], [], seconds)[0]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def unpacked(form: str, data: bytes, place: int) -> tuple[Any, ...]:
    """What stands at ``place`` of something that the server said; raise ``MalformedError`` where that is too short."""
    try:
        return struct.unpack_from(form, data, place)
    except struct.error as error:
        raise MalformedError("a reply that is too short") from error


def cookie_in(data: bytes) -> bytes:
    """The cookie of a file with one entry, or none: the last counted field of it (Xauthority)."""
    place, value = 2, b""
    while place + 2 <= len(data):
        length = int.from_bytes(data[place : place + 2], "big")
        value = data[place + 2 : place + 2 + length]
        place += 2 + length
    return value


def connect(display: str, cookies: Path) -> X11Connection:
    """A connection to a display such as ``:0``."""
    connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connecting.connect(f"/tmp/.X11-unix/X{display.removeprefix(':')}")  # noqa: S108 - where X servers listen
    connection = X11Connection(connecting)
    connection.open(cookie_in(cookies.read_bytes()))
    return connection
