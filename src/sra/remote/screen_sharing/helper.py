"""``sra-screen``: the root side. It shares the screen for srad, one admin at a time, and can be asked nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from pathlib import Path

from sra.errors import ProtocolError, SraError
from sra.remote.screen_sharing import helper_messages as vocabulary
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
)
from sra.remote.screen_sharing.password import OnePassword
from sra.remote.screen_sharing.recording.folder import RecordingFolder
from sra.remote.screen_sharing.share import DeniedError, Share, SharePlace
from sra.system.peer import peer_user

BACKLOG = 16
TURN_PATIENCE = 3.0
"""Seconds for another share, which may be ending just now."""
MAX_REASON = 400
_OF_SRAD = (Grant, Open, Lock, Collect, Written)

log = logging.getLogger("sra.screen")


class Helper:
    """Answers srad's user and the screen's account; everybody else is cut off.

    ``shelf`` has the recordings of former shares, even if no more are made.
    """

    def __init__(
        self, path: Path, place: SharePlace, daemon_uid: int, password: OnePassword, shelf: RecordingFolder
    ) -> None:
        self._path = path
        self._place = place
        self._daemon_uid = daemon_uid
        self._users = {0: _OF_SRAD, daemon_uid: _OF_SRAD, place.account.uid: (Burn,)}
        self._password = password
        self._shelf = shelf
        self._peers: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        """Held from the beginning of a grant to its very end."""
        self._holder = ""

    async def serve(self) -> None:
        """Listen until cancelled; then no password is right any more, and no server runs."""
        await self._password.lock()
        self._place.clear()
        listening = _listen(self._path, self._daemon_uid, self._place.account.gid)
        try:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listening)
                peer = asyncio.create_task(self._serve_peer(connection))
                self._peers.add(peer)
                peer.add_done_callback(self._peers.discard)
                await asyncio.sleep(0)  # ``sock_accept`` lets nobody else run while others wait
        finally:
            listening.close()
            self._path.unlink(missing_ok=True)
            for peer in self._peers:
                peer.cancel()
            await asyncio.gather(*self._peers, return_exceptions=True)
            await self._come_to_rest()

    async def _come_to_rest(self) -> None:
        """Wait for what ends by itself just now: a task that is cancelled while it starts a program may never end."""
        async with self._turn:
            await self._password.lock()

    async def _serve_peer(self, connection: socket.socket) -> None:
        uid = None
        with connection:
            try:
                uid = peer_user(connection)
                if uid not in self._users:
                    log.warning("a program of the user %d was cut off", uid)
                    return
                connection.setblocking(False)
                await _Peer(connection, self, self._users[uid]).serve()
            except (OSError, ProtocolError) as error:
                log.warning("a program of the user %s was cut off: %s", uid, error)
            except Exception:
                log.exception("a request failed")

    async def burn(self) -> HelperReply:
        """For PAM, which lets nobody in but for ``Done``."""
        if await self._password.burn():
            log.info("the password was used")
            return Done()
        return Failed("The password was used already, or is over.", is_refusal=True)

    async def collect(self) -> HelperReply:
        """A recording that is not in the audit trail, as soon as there is one."""
        whole = await self._shelf.next_whole()
        return Recorded(whole.name, whole.size, whole.sha256)

    def written(self, name: str) -> HelperReply:
        """The recording is in the audit trail."""
        self._shelf.told(name)
        return Done()

    async def take_turn(self, grant: Grant) -> Share:
        """A share that is this peer's until ``end_turn``; ``DeniedError`` while the screen is another's."""
        try:
            async with asyncio.timeout(TURN_PATIENCE):
                await self._turn.acquire()
        except TimeoutError:
            raise DeniedError(f"The screen is shared already: with {self._holder}.") from None
        self._holder = grant.by
        return Share(self._place, self._password, grant)

    async def end_turn(self, share: Share) -> None:
        """The share is over; the next one may begin when nothing of it is left."""
        try:
            await share.close()
        except (SraError, OSError) as error:
            log.error("the screen could not be closed in order: %s", error)  # noqa: TRY400 - a line says it all
        finally:
            self._turn.release()

    def granted(self, password: str, recording: str) -> Granted:
        """What is told of a grant."""
        return Granted(self._place.account.name, password, self._place.policy.expire, recording)


class _Peer:
    """A connection of srad or of PAM, and the share that it has."""

    def __init__(self, connection: socket.socket, helper: Helper, allowed: tuple[type[Request], ...]) -> None:
        self._connection = connection
        self._helper = helper
        self._allowed = allowed
        self._share: Share | None = None
        self._watching: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Answer until the peer goes, which ends its share."""
        try:
            packet = await self._receive()
            while packet:
                packet = await self._exchange(packet)
        finally:
            await self._end()

    async def _receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._connection, MAX_PACKET)

    async def _exchange(self, packet: bytes) -> bytes:
        """Answer one request; the next one. Who goes, or asks on, before there is an answer does not get it."""
        answering = asyncio.create_task(self._answer(vocabulary.request(packet)))
        following = asyncio.create_task(self._receive())
        try:
            await asyncio.wait([answering, following], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                return b""
            answering.result()
            return await following
        finally:
            for task in (answering, following):
                task.cancel()
            await asyncio.gather(answering, following, return_exceptions=True)

    async def _answer(self, request: Request) -> None:
        if type(request) not in self._allowed:
            raise ProtocolError(f"{type(request).__name__} is not for this user")
        try:
            if isinstance(request, Open):
                self._send_connection()
                return
            reply = await self._reply(request)
        except DeniedError as error:
            reply = Failed(str(error)[:MAX_REASON], is_refusal=True)
        except (SraError, OSError) as error:
            log.warning("the screen is not shared: %s", error)
            reply = Failed(str(error)[:MAX_REASON])
        self._send(reply)

    async def _reply(self, request: Request) -> HelperReply:
        if isinstance(request, Burn):
            return await self._helper.burn()
        if isinstance(request, Collect):
            return await self._helper.collect()
        if isinstance(request, Written):
            return self._helper.written(request.name)
        await self._end()
        if isinstance(request, Grant):
            return await self._grant(request)
        return Done()

    async def _grant(self, grant: Grant) -> HelperReply:
        share = await self._helper.take_turn(grant)
        self._share = share
        try:
            password = await share.open()
        except BaseException:
            await self._end()
            raise
        self._watching = asyncio.create_task(self._watch(share))
        return self._helper.granted(password, share.recorded_as)

    async def _watch(self, share: Share) -> None:
        reason = await share.wait_ended()
        self._watching = None
        await self._end()
        with contextlib.suppress(OSError):
            self._send(Ended(reason))

    async def _end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        share, self._share = self._share, None
        if share is not None:
            await asyncio.shield(asyncio.create_task(self._helper.end_turn(share)))

    def _send_connection(self) -> None:
        if self._share is None:
            self._send(Failed("There is no share to connect to."))
            return
        with self._share.connect() as screen:
            socket.send_fds(self._connection, [vocabulary.encode(Done())], [screen.fileno()])

    def _send(self, reply: HelperReply) -> None:
        self._connection.send(vocabulary.encode(reply))


def _listen(path: Path, user: int, group: int) -> socket.socket:
    """For srad's user and the screen's account's group; who it is, is checked at each connection all the same.

    Anybody else could keep the kernel's queue filled, and srad out.
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
