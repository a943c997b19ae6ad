"""``sra-screen``: the root side. It shares the screen for srad, one admin at a time, and can be asked nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from pathlib import Path

from sra.errors import ProtocolError, SraError
from sra.remote.screen_sharing.helper_messages import (
    MAX_PACKET,
    Burn,
    Collect,
    Done,
    Ended,
    Failed,
    Grant,
    Granted,
    HelperReply,
    Lock,
    Open,
    Recorded,
    Request,
    Written,
    decode_request,
    encode,
)
from sra.remote.screen_sharing.password import OnePassword
from sra.remote.screen_sharing.recording.folder import RecordingFolder
from sra.remote.screen_sharing.share import DeniedError, Share, SharePlace
from sra.system.peer import peer_user
from sra.system.processes import first_of

BACKLOG = 16
TURN_PATIENCE = 3.0
"""Seconds for another share, which may be ending just now."""
MAX_REASON = 400
_OF_SRAD = (Grant, Open, Lock, Collect, Written)

log = logging.getLogger("sra.screen")


class Helper:
    """Listens for srad and PAM, and holds what their connections share.

    Only srad's user, the screen's account and root are answered; any other user's program is cut off. ``recordings``
    has those of former shares, even if no more are made.
    """

    def __init__(
        self, path: Path, place: SharePlace, daemon_uid: int, password: OnePassword, recordings: RecordingFolder
    ) -> None:
        self._path = path
        self._daemon_uid = daemon_uid
        self._users = {0: _OF_SRAD, daemon_uid: _OF_SRAD, place.account.uid: (Burn,)}
        self._tasks: set[asyncio.Task[None]] = set()
        self.place = place
        self.password = password
        self.recordings = recordings
        self.turn = asyncio.Lock()
        """Held from the beginning of a grant to its very end."""
        self.holder = ""
        """The admin whose turn it is, for people."""

    async def serve(self) -> None:
        """Listen until cancelled; then no password is right any more, and no server runs."""
        await self.password.lock()
        self.place.clear()
        listening = _listen(self._path, self._daemon_uid, self.place.account.gid)
        try:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listening)
                task = asyncio.create_task(self._serve_connection(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                await asyncio.sleep(0)  # ``sock_accept`` lets no other task run while others wait
        finally:
            listening.close()
            self._path.unlink(missing_ok=True)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            # A task that was cancelled while it started a program may still be ending its share, in a task of its own.
            async with self.turn:
                await self.password.lock()

    async def _serve_connection(self, connection: socket.socket) -> None:
        uid = None
        with connection:
            try:
                uid = peer_user(connection)
                if uid not in self._users:
                    log.warning("a program of the user %d was cut off", uid)
                    return
                connection.setblocking(False)
                await HelperConnection(connection, self, self._users[uid]).serve()
            except (OSError, ProtocolError) as error:
                log.warning("a program of the user %s was cut off: %s", uid, error)
            except Exception:
                log.exception("a request failed")


class HelperConnection:
    """A connection of srad or of PAM, and the share that it has."""

    def __init__(self, connection: socket.socket, helper: Helper, allowed: tuple[type[Request], ...]) -> None:
        self._connection = connection
        self._helper = helper
        self._allowed = allowed
        self._share: Share | None = None
        self._watching: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Answer until the other side goes, which ends its share."""
        try:
            packet = await self._receive()
            while packet:
                packet = await self._exchange(packet)
        finally:
            await self._end()

    async def _receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._connection, MAX_PACKET)

    async def _exchange(self, packet: bytes) -> bytes:
        """Answer one request; the next one. A client that goes, or asks on, before its answer does not get it."""
        works = (self._answer(decode_request(packet)), self._receive())
        async with first_of(*works, until_all_ended=True) as (answering, following):
            if not answering.done():
                return b""
            answering.result()
            next_packet: bytes = await following
            return next_packet

    async def _answer(self, request: Request) -> None:
        if type(request) not in self._allowed:
            raise ProtocolError(f"{type(request).__name__} is not for this user")
        try:
            if isinstance(request, Open) and self._share is not None:
                with self._share.connect() as screen:
                    socket.send_fds(self._connection, [encode(Done())], [screen.fileno()])
                return
            reply = await self._reply(request)
        except DeniedError as error:
            reply = Failed(str(error)[:MAX_REASON], is_refusal=True)
        except (SraError, OSError) as error:
            log.warning("the screen is not shared: %s", error)
            reply = Failed(str(error)[:MAX_REASON])
        self._send(reply)

    async def _reply(self, request: Request) -> HelperReply:
        recordings = self._helper.recordings
        if isinstance(request, Open):
            return Failed("There is no share to connect to.")
        if isinstance(request, Burn):
            if not await self._helper.password.burn():
                return Failed("The password was used already, or is over.", is_refusal=True)
            log.info("the password was used")
            return Done()  # PAM lets the user in for this answer only
        if isinstance(request, Collect):
            whole = await recordings.next_whole()
            return Recorded(whole.name, whole.size, whole.sha256)
        if isinstance(request, Written):
            recordings.told(request.name)
            return Done()
        await self._end()
        return await self._grant(request) if isinstance(request, Grant) else Done()

    async def _grant(self, grant: Grant) -> Granted:
        """Wait for this connection's turn, and begin its share; ``DeniedError`` while the screen is another's."""
        helper, place = self._helper, self._helper.place
        try:
            async with asyncio.timeout(TURN_PATIENCE):
                await helper.turn.acquire()
        except TimeoutError:
            raise DeniedError(f"The screen is shared already: with {helper.holder}.") from None
        helper.holder = grant.by
        self._share = share = Share(place, helper.password, grant)
        try:
            password = await share.open()
        except BaseException:
            await self._end()
            raise
        self._watching = asyncio.create_task(self._watch(share))
        return Granted(place.account.name, password, place.policy.expire, share.recorded_as)

    async def _watch(self, share: Share) -> None:
        reason = await share.wait_ended()
        self._watching = None
        await self._end()
        with contextlib.suppress(OSError):
            self._send(Ended(reason))

    async def _end(self) -> None:
        """End the share, if there is one, even if this task is cancelled meanwhile."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        share, self._share = self._share, None
        if share is not None:
            await asyncio.shield(asyncio.create_task(self._close(share)))

    async def _close(self, share: Share) -> None:
        """Close the share; the next one may begin when nothing of it is left."""
        try:
            await share.close()
        except (SraError, OSError) as error:
            log.error("the screen could not be closed in order: %s", error)  # noqa: TRY400 - a line says it all
        finally:
            self._helper.turn.release()

    def _send(self, reply: HelperReply) -> None:
        self._connection.send(encode(reply))


def _listen(path: Path, user: int, group: int) -> socket.socket:
    """The socket for srad's user and the screen account's group; each connection's user is checked all the same.

    Any other user could keep the kernel's queue filled, and srad out.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    listening.bind(str(path))
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, user, group)
    path.chmod(0o660)
    listening.listen(BACKLOG)
    return listening
