"""The screen's shares: what a session was granted, and the stream that it opens with it.

A share ends with its session, its stream, the screen server or the helper, whichever is first, and then all of them
do. A ticket is worth something once, from its session's address, and only while the share lives.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sra.audit import RecordEvent
from sra.errors import LinkError, RefusedError
from sra.remote.screen_sharing.link import ScreenLink
from sra.system.processes import first_of
from sra.transport.stream import Stream, join
from sra.wire.messages import MAX_TEXT, TICKET_BYTES, Message, NoScreen, ScreenGrant

TICKET_DEADLINE = 5.0
"""Seconds for a stranger's ticket."""
REASON_PATIENCE = 3.0
"""Seconds for the helper to say why the screen server ended: when the console is put back, and the account locked."""

log = logging.getLogger("sra.screen")


@dataclass(eq=False)
class GrantedShare:
    """What one session was granted. ``facts`` says whose it is: account, address and card."""

    link: ScreenLink
    facts: Mapping[str, str]
    ticket_hash: bytes
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the session wants it over."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_streaming: bool = False


class Screens:
    """All shares of this machine, by the session (any object) that each belongs to.

    ``admit`` raises ``RefusedError`` where the remote's license does not include the screen.
    """

    def __init__(self, helper: Path, record: RecordEvent, admit: Callable[[], None] = lambda: None) -> None:
        self._helper = helper
        self._record = record
        self._admit = admit
        self._shares: dict[object, GrantedShare] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def grant(self, session: object, facts: Mapping[str, str], *, view_only: bool) -> Message:
        """A ticket and a password, which end what the session had before; or why there are none."""
        await self.end(session)
        link = ScreenLink(self._helper)
        try:
            self._admit()
            by = f"{facts['account']} ({facts['address']})"  # no name: under “paired-key” a card's owner chose it
            credential = await link.grant(by, view_only=view_only)
        except RefusedError as error:
            link.close()
            self._record("screen-refused", code=error.code, reason=error.text, **facts)
            return NoScreen(error.code, error.text[:MAX_TEXT])
        except BaseException:
            link.close()
            raise
        ticket = secrets.token_bytes(TICKET_BYTES)
        share = GrantedShare(link, facts, hashlib.sha256(ticket).digest())
        self._shares[session] = share
        recording = {"recording": credential.recording} if credential.recording else {}
        self._record("screen-granted", view_only=view_only, **recording, **facts)
        watching = asyncio.create_task(self._watch(session, share))
        self._tasks.add(watching)
        watching.add_done_callback(self._tasks.discard)
        return ScreenGrant(ticket, credential.username, credential.password, bool(credential.recording))

    async def end(self, session: object) -> None:
        """The session is over, or asks anew: so is what it was granted."""
        share = self._shares.pop(session, None)
        if share is not None:
            share.ending.set()
            share.link.close()
            if share.is_streaming:
                await share.ended.wait()

    async def serve(self, stream: Stream, leave: Callable[[], None]) -> None:
        """Join a stranger's stream to the screen, if its ticket is good; returns when it is over."""
        try:
            ticket = await stream.read(TICKET_BYTES, TICKET_DEADLINE)
        except LinkError as error:
            log.info("%s: a stream without a ticket: %s", stream.peer_address, error)
            return
        ticket_hash = hashlib.sha256(ticket).digest()
        share = next((share for share in self._shares.values() if share.ticket_hash == ticket_hash), None)
        if share is None or share.is_streaming or share.facts["address"] != stream.peer_address:
            log.warning("%s: a ticket for the screen that is not good (any more)", stream.peer_address)
            self._record("screen-ticket-refused", address=stream.peer_address)
            return
        share.is_streaming = True  # a ticket is good once
        leave()
        await self._show(share, stream)

    async def _show(self, share: GrantedShare, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        screen: Stream | None = None
        reason = "The remote's service is stopping."
        try:
            connection = await share.link.open()
            _, screen = await loop.create_unix_connection(Stream, sock=connection)
            self._record("screen-started", **share.facts)
            join(stream, screen)
            reason = await _until_over(share, stream, screen)
        except (RefusedError, OSError) as error:
            reason = str(error)
        finally:
            for end in (stream, screen):
                if end is not None:
                    end.close()
            share.link.close()
            share.ended.set()
            counts = {"sent": screen.received if screen else 0, "received": stream.received}
            seconds = round(loop.time() - begun)
            self._record("screen-ended", reason=reason, seconds=seconds, **counts, **share.facts)

    async def _watch(self, session: object, share: GrantedShare) -> None:
        """Forget a share that ended by itself; one that was never used is told of here."""
        reason = await share.link.wait_ended()
        if self._shares.get(session) is share:
            del self._shares[session]
        if not share.is_streaming:
            self._record("screen-ended", reason=reason, seconds=0, sent=0, received=0, **share.facts)


async def _until_over(share: GrantedShare, stream: Stream, screen: Stream) -> str:
    """Return when one of the things that a share needs is gone; which, in words."""
    ends = (stream.wait_ended(), screen.wait_ended(), share.ending.wait())
    async with first_of(share.link.wait_ended(), *ends) as (helper, *_):
        if share.ending.is_set():
            return "The session ended, or asked anew."
        if stream.ended_first:
            return "The viewer was closed."
        await asyncio.wait([helper], timeout=REASON_PATIENCE)
        told = helper.done() and not share.ending.is_set()
        return str(helper.result()) if told else "The screen server closed the connection."
