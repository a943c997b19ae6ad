"""srad's side of ``sra-screen``: a grant is a connection to it, and ends with it.

Another connection collects the hashes of recordings for the audit trail. The helper tells of one again and again until
srad says that it is written down, whichever of the two ends in between. So none is lost, and one may be in the trail
twice, with the same hash.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from pathlib import Path

from sra.audit import AuditError, RecordEvent
from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError
from sra.remote.screen_sharing.helper_messages import (
    MAX_PACKET,
    Collect,
    Done,
    Ended,
    Failed,
    Grant,
    Granted,
    HelperReply,
    Open,
    Recorded,
    Request,
    Written,
    decode_reply,
    encode,
)
from sra.system.peer import is_ours_or_roots

NOT_SET_UP = "Screen sharing is not set up on this remote: have “sra activate -s” run there as root."
NOT_ROOTS = "What listens where this remote's screen is shared is not root's: have “sra doctor” run there as root."
TRY_AGAIN = 1.0
"""Seconds, where there is no helper to collect recordings from, or the trail can't be written."""

log = logging.getLogger("sra.screen")


@dataclass(frozen=True)
class ScreenCredential:
    """What opens the screen, once, within so many seconds."""

    username: str
    password: str
    seconds: int
    recording: str = ""
    """A name, if the screen is recorded."""


class ScreenLink:
    """One share of the screen, from the grant to ``close``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._replies: asyncio.Queue[tuple[HelperReply, list[int]]] = asyncio.Queue()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._is_open = False

    async def grant(self, by: str, *, view_only: bool) -> ScreenCredential:
        """Have the screen shared; raise ``RefusedError`` where it is not."""
        try:
            self._socket.connect(str(self._path))
        except OSError as error:
            raise RefusedError(RefusalCode.NO_SCREEN, NOT_SET_UP) from error
        if not is_ours_or_roots(self._socket):
            raise RefusedError(RefusalCode.NO_SCREEN, NOT_ROOTS)
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        self._is_open = True
        reply, _ = await self._ask(Grant(view_only, by))
        if isinstance(reply, Granted):
            return ScreenCredential(reply.username, reply.password, reply.seconds, reply.recording)
        raise _refused(reply)

    async def open(self) -> socket.socket:
        """A connection to the screen server; raise ``RefusedError`` if it has ended."""
        reply, descriptors = await self._ask(Open())
        if not isinstance(reply, Done) or not descriptors:
            raise _refused(reply)
        return socket.socket(fileno=descriptors[0])

    async def wait_ended(self) -> str:
        """Return when the share has ended by itself; the reason."""
        return await asyncio.shield(self._ended)

    def close(self) -> None:
        """End the share: the password is void and the screen server ends."""
        self._end("The share was ended.")

    async def _ask(self, request: Request) -> tuple[HelperReply, list[int]]:
        if not self._ended.done():
            try:
                self._socket.send(encode(request))
            except OSError as error:
                self._end(f"sra-screen is gone: {error.strerror}.")
        if self._ended.done():
            return Ended(self._ended.result()), []
        return await self._replies.get()

    def _read(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._socket, MAX_PACKET, 1)
            reply = decode_reply(packet) if packet else Ended("sra-screen, the remote's helper, ended.")
        except BlockingIOError:
            return
        except (OSError, ProtocolError) as error:
            reply, descriptors = Ended(f"sra-screen, the remote's helper, failed: {error}"), []
        if isinstance(reply, Ended):
            self._end(reply.reason)
        else:
            self._replies.put_nowait((reply, list(descriptors)))

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)
            self._replies.put_nowait((Ended(reason), []))
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


def _refused(reply: HelperReply) -> RefusedError:
    if isinstance(reply, Failed):
        return RefusedError(RefusalCode.NOT_ALLOWED if reply.is_refusal else RefusalCode.NO_SCREEN, reply.reason)
    reason = reply.reason if isinstance(reply, Ended) else "The screen can't be shared just now."
    return RefusedError(RefusalCode.NO_SCREEN, reason)


async def collect_recordings(helper: Path, record: RecordEvent) -> None:
    """Write down each recording as soon as it is whole, until cancelled."""
    while True:
        try:
            await _collect(helper, record)
        except (OSError, LinkError, ProtocolError) as error:
            log.debug("sra-screen tells of no recordings: %s", error)
        except AuditError as error:
            log.error("a recording could not be written down yet: %s", error)  # noqa: TRY400
        await asyncio.sleep(TRY_AGAIN)


async def _collect(helper: Path, record: RecordEvent) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, str(helper))
        if not is_ours_or_roots(connection):
            raise LinkError("another user listens where it should")
        while True:
            recorded = await _exchange(connection, Collect())
            if not isinstance(recorded, Recorded):
                raise LinkError(f"it answered {recorded}")
            record("screen-recorded", recording=recorded.name, size=recorded.size, sha256=recorded.sha256)
            if not isinstance(await _exchange(connection, Written(recorded.name)), Done):
                raise LinkError("it did not take note")


async def _exchange(connection: socket.socket, request: Request) -> HelperReply:
    connection.send(encode(request))
    packet = await asyncio.get_running_loop().sock_recv(connection, MAX_PACKET)
    if not packet:
        raise LinkError("it has ended")
    return decode_reply(packet)
