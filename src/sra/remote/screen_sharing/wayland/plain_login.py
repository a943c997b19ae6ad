"""The login of a VNC server, both sides: RFB 3.8 (RFC 6143) with the security type Plain of VeNCrypt, or with none.

The side that is a server here speaks to the admin's viewer, which has shown nothing yet: every length has its limit.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sra.errors import LinkError, ProtocolError
from sra.transport.stream import Stream

VERSION = b"RFB 003.008\n"
DEADLINE = 20.0
"""Seconds for each word of the other side."""
MAX_NAME = 64
MAX_PASSWORD = 128
REFUSED = b"Authentication failure: invalid password or username"
"""Word for word what X0tigervnc says."""
TITLE = b"Secure Remote Access"
"""The viewer's window is called so."""
MAX_TITLE = 1024
_SHAPE = 20
"""Bytes of a screen's width, height and kind of pixels (7.3.2)."""
_NONE, _VENCRYPT, _PLAIN = 1, 19, 256
_VENCRYPT_VERSION = b"\0\2"
_OK = bytes(4)


@dataclass(frozen=True)
class LoginClaim:
    """Who somebody says to be."""

    username: str
    password: str


CheckLogin = Callable[[LoginClaim], Awaitable[bool]]
"""Whether a claim is true."""


async def admit(viewer: Stream, judge: CheckLogin) -> None:
    """Be the server, up to the verdict; ``LinkError`` or ``ProtocolError`` unless it is a yes, which is left to say."""
    await _offer(viewer, VERSION, VERSION)
    await _offer(viewer, bytes((1, _VENCRYPT)), bytes((_VENCRYPT,)))
    await _offer(viewer, _VENCRYPT_VERSION, _VENCRYPT_VERSION)
    await _offer(viewer, struct.pack(">BBI", 0, 1, _PLAIN), struct.pack(">I", _PLAIN))
    if not await judge(await _claim(viewer)):
        viewer.write(struct.pack(">II", 1, len(REFUSED)) + REFUSED)
        raise LinkError("The name or the password was wrong.")


async def let_in(viewer: Stream, server: Stream) -> None:
    """Say the yes, and show the server under our name; what comes after that is the screen."""
    viewer.write(_OK)
    server.write(await viewer.read(1, DEADLINE))
    shape = await server.read(_SHAPE, DEADLINE)
    length = int.from_bytes(await server.read(4, DEADLINE), "big")
    if length > MAX_TITLE:
        raise ProtocolError("a screen with too long a name")
    await server.read(length, DEADLINE)
    viewer.write(shape + struct.pack(">I", len(TITLE)) + TITLE)


async def enter(server: Stream) -> None:
    """Be the viewer of a server that asks for nothing, as far as the screen."""
    if await server.read(len(VERSION), DEADLINE) != VERSION:
        raise ProtocolError("a screen server of another version")
    server.write(VERSION)
    count = (await server.read(1, DEADLINE))[0]
    if _NONE not in await server.read(count, DEADLINE):
        raise ProtocolError("a screen server that asks for something")
    server.write(bytes((_NONE,)))
    if await server.read(len(_OK), DEADLINE) != _OK:
        raise ProtocolError("a screen server that lets nobody in")


async def _offer(viewer: Stream, offer: bytes, wanted: bytes) -> None:
    viewer.write(offer)
    if await viewer.read(len(wanted), DEADLINE) != wanted:
        raise ProtocolError("a viewer that does not log in by name and password (Plain)")


async def _claim(viewer: Stream) -> LoginClaim:
    name, password = struct.unpack(">II", await viewer.read(8, DEADLINE))
    if name > MAX_NAME or password > MAX_PASSWORD:
        raise ProtocolError("a name or a password that is too long")
    said = await viewer.read(name + password, DEADLINE)
    try:
        return LoginClaim(said[:name].decode(), said[name:].decode())
    except UnicodeDecodeError:
        raise ProtocolError("a name or a password that is no text") from None
