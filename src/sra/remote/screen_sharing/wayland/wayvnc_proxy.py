"""wayvnc, and the proxy in front of it, which has PAM judge a name and a password as X0tigervnc does.

``python -I -m sra.remote.screen_sharing.wayland.wayvnc_proxy SOCKET [view-only]``, as the screen's account, with a
connection to the session in ``WAYLAND_SOCKET``. It listens at SOCKET while wayvnc runs, and wayvnc runs while it does
(docs/decisions/0019).

The login is that of a VNC server, both sides of it: RFB 3.8 (RFC 6143) with the security type Plain of VeNCrypt towards
the admin's viewer, which has shown nothing yet, so every length has its limit; with no security type towards wayvnc.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sra.errors import LinkError, ProtocolError, SraError
from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.screen_account import ScreenAccount
from sra.remote.screen_sharing.wayland import pam_linux
from sra.remote.screen_sharing.x11.vnc_linux import PAM_SERVICE
from sra.transport.stream import Stream, join

PROGRAM = "wayvnc"
INNER = "wayvnc"
"""Where wayvnc listens, in the folder of the socket: it asks for nothing, and only this account comes there."""
MAX_GUESTS = 4
"""Connections at a time; srad makes one."""
WAYLAND_SOCKET = "WAYLAND_SOCKET"
"""The descriptor of a connection that libwayland-client takes in place of making one."""

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

log = logging.getLogger("sra.screen")


@dataclass(frozen=True)
class LoginClaim:
    """A name and a password that a viewer gives, not yet found right."""

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
    name, password = struct.unpack(">II", await viewer.read(8, DEADLINE))
    if name > MAX_NAME or password > MAX_PASSWORD:
        raise ProtocolError("a name or a password that is too long")
    said = await viewer.read(name + password, DEADLINE)
    try:
        claim = LoginClaim(said[:name].decode(), said[name:].decode())
    except UnicodeDecodeError:
        raise ProtocolError("a name or a password that is no text") from None
    if not await judge(claim):
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


def arguments(inner: Path, *, view_only: bool) -> tuple[str, ...]:
    """Wayvnc's command line: a UNIX socket and no port."""
    return (PROGRAM, *(("--disable-input",) if view_only else ()), "--unix-socket", str(inner))


class WayvncProxy:
    """Lets the account in to wayvnc, if PAM does."""

    def __init__(self, inner: Path, account: ScreenAccount) -> None:
        self._inner = inner
        self._account = account
        self._guests: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket) -> None:
        """Let in until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listening)
            if len(self._guests) >= MAX_GUESTS:
                connection.close()
                continue
            guest = asyncio.create_task(self._serve_guest(connection))
            self._guests.add(guest)
            guest.add_done_callback(self._guests.discard)

    async def _serve_guest(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        _, viewer = await loop.connect_accepted_socket(Stream, connection)
        try:
            await admit(viewer, self._is_true)
            _, screen = await loop.create_unix_connection(Stream, str(self._inner))
            try:
                await enter(screen)
                await let_in(viewer, screen)
                join(viewer, screen)
                await viewer.wait_ended()
            finally:
                screen.close()
        except (SraError, OSError) as error:
            log.info("a viewer was not let in: %s", error)
        finally:
            viewer.close()

    async def _is_true(self, claim: LoginClaim) -> bool:
        if claim.username != self._account.name:
            return False
        return await asyncio.to_thread(pam_linux.lets_in, PAM_SERVICE, claim.username, claim.password)


def _listen(path: Path) -> socket.socket:
    """A socket that takes connections from the moment in which it is there."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.setblocking(False)
    early = path.with_name(f"{path.name}.new")
    early.unlink(missing_ok=True)
    listening.bind(str(early))
    listening.listen(MAX_GUESTS)
    early.rename(path)
    return listening


async def main(path: Path, *, view_only: bool) -> None:
    """Run wayvnc and the proxy, until wayvnc ends."""
    os.umask(0o177)
    entry = pwd.getpwuid(os.geteuid())
    account = ScreenAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)
    inner = path.with_name(INNER)
    inner.unlink(missing_ok=True)
    session = int(os.environ[WAYLAND_SOCKET])
    argv = arguments(inner, view_only=view_only)
    server = await screen_account.start(argv, account, dict(os.environ), passed=(session,))
    os.close(session)
    await screen_account.wait_until_it_listens(server, inner, PROGRAM)
    with _listen(path) as listening:
        serving = asyncio.create_task(WayvncProxy(inner, account).serve(listening))
        await server.wait()
        serving.cancel()


if __name__ == "__main__":
    with contextlib.suppress(SraError):  # the program that started this sees that it does not listen, and says so
        asyncio.run(main(Path(sys.argv[1]), view_only=sys.argv[2:] == ["view-only"]))
