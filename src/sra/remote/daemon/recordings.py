"""The hash of each recording of the screen, from the helper that made it into the audit trail.

The helper tells of one again and again until srad says that it is written down, whichever of the two ends in between.
So none is lost, and one may be in the trail twice, with the same hash.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

from sra.audit import AuditError, RecordEvent
from sra.errors import LinkError, ProtocolError
from sra.remote.screen_sharing import helper_messages as vocabulary
from sra.remote.screen_sharing.helper_messages import MAX_PACKET, Collect, Done, HelperReply, Recorded, Request, Written
from sra.system.peer import is_ours_or_roots

TRY_AGAIN = 1.0
"""Seconds, where there is no helper, or the trail can't be written."""

log = logging.getLogger("sra.screen")


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
            recorded = await _ask(connection, Collect())
            if not isinstance(recorded, Recorded):
                raise LinkError(f"it answered {recorded}")
            record("screen-recorded", recording=recorded.name, size=recorded.size, sha256=recorded.sha256)
            if not isinstance(await _ask(connection, Written(recorded.name)), Done):
                raise LinkError("it did not take note")


async def _ask(connection: socket.socket, request: Request) -> HelperReply:
    connection.send(vocabulary.encode(request))
    packet = await asyncio.get_running_loop().sock_recv(connection, MAX_PACKET)
    if not packet:
        raise LinkError("it has ended")
    return vocabulary.reply(packet)
