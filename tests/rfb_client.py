"""A small VNC client: RFB 3.8 (RFC 6143), the security type Plain inside VeNCrypt, raw pixels.

python -m tests.rfb_client SOCKET|PORT USERNAME  < PASSWORD
"""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

VENCRYPT, PLAIN = 19, 256
RAW, DESKTOP_SIZE = 0, -223
"""Encodings; without the second, the server cuts a client off when the screen changes its size."""
DEADLINE = 20.0


class RfbRefusedError(Exception):
    """The server let nobody in."""


class RfbClient:
    """A connection to a VNC server, by a UNIX socket's path or a port of the loopback address."""

    def __init__(self, place: Path | int) -> None:
        family = socket.AF_INET if isinstance(place, int) else socket.AF_UNIX
        self._take(socket.socket(family, socket.SOCK_STREAM))
        self.socket.connect(("127.0.0.1", place) if isinstance(place, int) else str(place))

    @classmethod
    def over(cls, connection: socket.socket) -> RfbClient:
        """One over a connection that is there already."""
        client = cls.__new__(cls)
        client._take(connection)
        return client

    def _take(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(DEADLINE)
        self.size = (0, 0)

    def log_in(self, username: str, password: str) -> None:
        """Raise ``RfbRefusedError`` unless the password is right."""
        self.greet()
        user, secret = username.encode(), password.encode()
        self.socket.sendall(struct.pack(">II", len(user), len(secret)) + user + secret)
        if self._number() != 0:
            raise RfbRefusedError(self.read(self._number()).decode())
        self.socket.sendall(b"\1")  # ClientInit
        self.size = struct.unpack(">HH", self.read(4))
        self.read(16)
        self.read(self._number())

    def greet(self) -> None:
        """As far as the name and the password."""
        self.read(12)
        self.socket.sendall(b"RFB 003.008\n")
        offered = self.read(self.read(1)[0])
        if not offered:
            raise RfbRefusedError(self.read(self._number()).decode())
        assert offered == bytes([VENCRYPT]), offered
        self.socket.sendall(bytes([VENCRYPT]))
        assert self.read(2) == b"\0\2"
        self.socket.sendall(b"\0\2")
        assert self.read(1) == b"\0"
        count = self.read(1)[0]
        assert struct.unpack(f">{count}I", self.read(4 * count)) == (PLAIN,)
        self.socket.sendall(struct.pack(">I", PLAIN))

    def screen(self) -> bytes:
        """All pixels, four bytes each, once."""
        width, height = self.size
        self.socket.sendall(struct.pack(">BxHii", 2, 2, RAW, DESKTOP_SIZE))
        self.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        pixels = bytearray()
        while len(pixels) < width * height * 4:
            assert self.read(1) == b"\0"  # FramebufferUpdate
            for _ in range(struct.unpack(">xH", self.read(3))[0]):
                _, _, wide, high, encoding = struct.unpack(">HHHHi", self.read(12))
                assert encoding == RAW
                pixels += self.read(wide * high * 4)
        return bytes(pixels)

    def press(self, key: int) -> None:
        """Press and release a key (an X keysym)."""
        for down in (1, 0):
            self.socket.sendall(struct.pack(">BBxxI", 4, down, key))

    def read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(min(size - len(data), 1 << 20))
            if not part:
                raise RfbRefusedError(f"the server closed the connection after {bytes(data)[:80]!r}")
            data += part
        return bytes(data)

    def _number(self) -> int:
        return int.from_bytes(self.read(4), "big")

    def close(self) -> None:
        self.socket.close()


@dataclass(frozen=True)
class Attempt:
    """How one login went: the screen's size, or the refusal."""

    size: tuple[int, int]
    refusal: str


def attempt(place: Path | int, username: str, password: str) -> Attempt:
    """Log in and out."""
    client = None
    try:
        client = RfbClient(place)
        client.log_in(username, password)
    except (RfbRefusedError, OSError) as error:
        return Attempt((0, 0), str(error) or type(error).__name__)
    finally:
        if client is not None:
            client.close()
    return Attempt(client.size, "")


if __name__ == "__main__":
    place = int(sys.argv[1]) if sys.argv[1].isdigit() else Path(sys.argv[1])
    done = attempt(place, sys.argv[2], sys.stdin.readline().rstrip("\n"))
    print(done.refusal or f"let in: {done.size[0]}x{done.size[1]}")
