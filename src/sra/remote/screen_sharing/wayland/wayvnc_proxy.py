"""wayvnc, and the door in front of it: who comes in is judged by PAM as for X0tigervnc, by the same service.

``python -I -m sra.remote.screen_sharing.wayland.wayvnc_proxy SOCKET [view-only]``, as the screen's account, with a
connection to the session in ``WAYLAND_SOCKET``. It listens at SOCKET while wayvnc runs, and wayvnc runs while it does
(docs/decisions/0019).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import socket
import sys
from pathlib import Path

from sra.errors import SraError
from sra.remote.screen_sharing.wayland import pam_linux, plain_login
from sra.remote.screen_sharing.wayland.plain_login import LoginClaim
from sra.remote.screen_sharing.x11 import vnc_linux
from sra.remote.screen_sharing.x11.vnc_linux import PAM_SERVICE, VncAccount
from sra.transport.stream import Stream, join

PROGRAM = "wayvnc"
INNER = "wayvnc"
"""Where wayvnc listens, in the folder of the socket: it asks for nothing, and only this account comes there."""
MAX_GUESTS = 4
"""Connections at a time; srad makes one."""
WAYLAND_SOCKET = "WAYLAND_SOCKET"
"""The descriptor of a connection that libwayland-client takes in place of making one."""

log = logging.getLogger("sra.screen")


def arguments(inner: Path, *, view_only: bool) -> tuple[str, ...]:
    """Wayvnc's command line: a UNIX socket and no port."""
    return (PROGRAM, *(("--disable-input",) if view_only else ()), "--unix-socket", str(inner))


class WayvncProxy:
    """Lets the account in to wayvnc, if PAM does."""

    def __init__(self, inner: Path, account: VncAccount) -> None:
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
            await plain_login.admit(viewer, self._is_true)
            _, screen = await loop.create_unix_connection(Stream, str(self._inner))
            try:
                await plain_login.enter(screen)
                await plain_login.let_in(viewer, screen)
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
    """Run wayvnc and the door, until wayvnc ends."""
    os.umask(0o177)
    entry = pwd.getpwuid(os.geteuid())
    account = VncAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)
    inner = path.with_name(INNER)
    inner.unlink(missing_ok=True)
    session = int(os.environ[WAYLAND_SOCKET])
    server = await vnc_linux.start(arguments(inner, view_only=view_only), account, dict(os.environ), passed=(session,))
    os.close(session)
    await vnc_linux.wait_until_it_listens(server, inner, PROGRAM)
    with _listen(path) as listening:
        door = asyncio.create_task(WayvncProxy(inner, account).serve(listening))
        await server.wait()
        door.cancel()


if __name__ == "__main__":
    with contextlib.suppress(SraError):  # whoever started this sees that it does not listen, and says so
        asyncio.run(main(Path(sys.argv[1]), view_only=sys.argv[2:] == ["view-only"]))
