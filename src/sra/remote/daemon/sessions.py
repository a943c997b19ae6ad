"""The authenticated connections, and the cards that they have in this machine's readers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from sra.audit import RecordEvent
from sra.errors import ProtocolError, RefusalCode, RefusedError, SraError
from sra.identity.certificates import CardCertificate
from sra.logs import clean, of_session
from sra.piv.keys import KeyReply, KeyRequest, PinReply, PinRequest
from sra.remote.daemon.readers import Reader
from sra.remote.daemon.screens import Screens
from sra.transport.channel import Channel
from sra.wire.messages import (
    KEY_DEADLINE_OF_SRAD,
    NO_LIMITS,
    CardInserted,
    EjectCard,
    InsertCard,
    Message,
    NoScreen,
    Remark,
    ScreenRequest,
    SessionLimits,
)

MAX_OF_A_CARD = 4
"""Connections of one card at a time; a newer one ends the oldest. One has its card in a reader, the others wait to or
are about to be found dead. Without this, one person could take all places."""

MAX_REFUSALS = 20
"""Different reasons that are logged in one session: there are fewer, and an admin that invents more fills no log."""

LONGEST_SLEEP = 30.0
"""Seconds between looks at the limits. Time in which the remote sleeps does not count; no connection outlives it."""

log = logging.getLogger("sra.sessions")


async def _accept(*_: CardCertificate) -> None:
    """No further condition: a paired key is enough."""


@dataclass(frozen=True)
class Admission:
    """The remote's name and identity, and the conditions on which it admits a card."""

    host: str
    server_certificate: bytes
    find_account: Callable[[CardCertificate], Awaitable[str]]
    """The account that the certificate is paired with, or ``RefusedError``."""
    record: RecordEvent
    max_sessions: int = 64
    admit: Callable[[], Awaitable[None]] = _accept
    """Before anything else: may this remote be connected to at all? ``RefusedError`` if not."""
    check_certificate: Callable[[CardCertificate], Awaitable[None]] = _accept
    """After the proof and the certificate's time: does the remote's policy accept it? ``RefusedError`` if not."""
    session_limits: SessionLimits = NO_LIMITS
    """What the owner demands of every connection."""
    screens: Screens | None = None
    """The machine's screen, where it can be shared."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """By which certificates are valid: never earlier than a time that has passed, though the clock is set back."""


class RemoteSession:
    """An authenticated connection; answers what the admin asks."""

    def __init__(self, channel: Channel, account: str, certificate: CardCertificate, sessions: Sessions) -> None:
        self.account = account
        self.card = certificate.fingerprint
        self.key = certificate.public_key_hash("sha256")
        """The key's hash, which tells cards apart: its holder can sign any number of certificates for the same key."""
        self._channel = channel
        self._sessions = sessions
        self._reader: Reader | None = None
        self.begun = self._last_use = asyncio.get_running_loop().time()
        self._refusals: set[str] = set()

    @property
    def _record(self) -> RecordEvent:
        return self._sessions.admission.record

    @property
    def has_reader(self) -> bool:
        """Whether its card is in."""
        return self._reader is not None

    def _facts(self) -> dict[str, str]:
        channel = self._channel
        address, session = channel.peer_address, channel.session
        return {"account": self.account, "address": address, "card": self.card, "key": self.key, "session": session}

    async def serve(self) -> None:
        """Answer until the connection ends; then the card is out of its reader at once."""
        self._channel.on_excess = lambda kind: self._record("too-many", message=kind, **self._facts())
        ending = asyncio.create_task(self._end_at_limit())
        try:
            await self._channel.serve(self)
        finally:
            ending.cancel()
            await self._eject("The connection ended.")
            if self._sessions.admission.screens is not None:
                await self._sessions.admission.screens.end(self)
            self._record("disconnected", **self._facts())

    async def _end_at_limit(self) -> None:
        reason = await reach_limit(self._sessions.admission.session_limits, lambda: self._last_use)
        await self._eject(reason)
        await self._channel.close(reason, final=True)

    def remark(self, text: str) -> None:
        """Pass on what a program of this machine says that it is about to ask the card for."""
        if self._reader is not None:
            with contextlib.suppress(ProtocolError):  # being inserted or ejected just now
                self._channel.notify(Remark(text))

    async def answer(self, question: Message) -> Message:
        """Answer the admin: an InsertCard and a ScreenRequest are all that it may ask."""
        if isinstance(question, InsertCard):
            return await self._insert(question)
        if isinstance(question, ScreenRequest):
            screens = self._sessions.admission.screens
            if screens is None:
                return NoScreen(RefusalCode.NO_SCREEN, "This remote does not share its screen.")
            return await screens.grant(self, self._facts(), view_only=question.view_only)
        raise ProtocolError(f"{type(question).__name__} from an admin")

    async def _insert(self, question: InsertCard) -> CardInserted:
        await self._sessions.replace(self)
        reader = self._sessions.take_reader()
        self._reader = reader
        try:
            inserted: CardInserted = await reader.insert(self, question)
        except SraError as error:
            self._reader = None
            raise RefusedError(RefusalCode.NO_READER, f"The card could not be inserted: {error}") from error
        if self._reader is not reader:
            raise RefusedError(RefusalCode.NO_READER, "The reader lost the card again at once.")
        self._record("inserted", reader=reader.number, **self._facts())
        return inserted

    async def hear(self, notice: Message) -> None:
        """The admin ejects the card, or confirms that it knows it to be out."""
        if isinstance(notice, EjectCard) and self._reader is not None:
            await self._eject(notice.reason)
            self._channel.notify(EjectCard("ejected"))

    async def _eject(self, reason: str) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.eject(self, reason)
            self._record("ejected", reader=reader.number, reason=reason, **self._facts())

    def card_lost(self, reason: str) -> None:
        """Tell the admin that the reader is empty."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(ProtocolError):  # not inserted yet: the InsertCard's refusal says it
                self._channel.notify(EjectCard(reason))
                self._record("ejected", reader=reader.number, reason=reason, **self._facts())

    async def replaced(self) -> None:
        """Give way to a newer connection with the same card."""
        await self._eject("The same card was connected again.")
        await self._channel.close("The same card was connected again, from elsewhere or anew.", final=True)

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Have the admin's card use a key: one round trip."""
        self._last_use = asyncio.get_running_loop().time()
        facts = {
            "slot": f"{request.slot:02X}",
            "algorithm": request.algorithm.name,
            "operation": request.operation,
            "input_sha256": hashlib.sha256(request.input).hexdigest(),
        }
        reply = await self._ask(request, "key-use", facts)
        if not isinstance(reply, KeyReply):
            raise ProtocolError("an admin that answers something else")
        return reply

    async def check_pin(self, request: PinRequest) -> PinReply:
        """Have the admin's side check a PIN: one round trip."""
        reply = await self._ask(request, "pin", {"entry": "pad" if request.typed is None else "typed"})
        if not isinstance(reply, PinReply):
            raise ProtocolError("an admin that answers something else")
        return reply

    async def _ask(self, question: KeyRequest | PinRequest, event: str, facts: dict[str, str]) -> Message:
        outcome = "cancelled"
        try:
            reply = await self._channel.ask(question, KEY_DEADLINE_OF_SRAD)
            outcome = str(reply.outcome) if isinstance(reply, PinReply) else "done"
        except RefusedError as error:
            outcome = f"refused: {error.code}"
            # Once in each session: of PC/SC, programs here get a status word at most.
            text = clean(error.text)
            if text not in self._refusals and len(self._refusals) < MAX_REFUSALS:
                self._refusals.add(text)
                log.warning("the admin's side refused: %s", text, extra=of_session(self._channel.session))
            raise
        except SraError:
            outcome = "failed"
            raise
        finally:
            self._record(event, outcome=outcome, **facts, **self._facts())
        return reply


class Sessions:
    """All authenticated connections and all readers of this machine."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self._sessions: set[RemoteSession] = set()
        self._readers: dict[int, Reader] = {}

    async def serve(self, channel: Channel, account: str, certificate: CardCertificate) -> None:
        """Serve one authenticated connection until it ends."""
        session = RemoteSession(channel, account, certificate, self)
        older = [other for other in self._sessions if other.key == session.key]
        self._sessions.add(session)
        try:
            older.sort(key=lambda other: (other.has_reader, other.begun))
            await asyncio.gather(*(other.replaced() for other in older[: 1 - MAX_OF_A_CARD]))
            await session.serve()
        finally:
            self._sessions.discard(session)

    @property
    def is_full(self) -> bool:
        """Whether there are as many connections as may be."""
        return len(self._sessions) >= self.admission.max_sessions

    async def replace(self, newest: RemoteSession) -> None:
        """End the other connections of the same card: a card is in one place only."""
        others = [other for other in self._sessions if other is not newest and other.key == newest.key]
        await asyncio.gather(*(other.replaced() for other in others))

    def remark(self, text: str) -> None:
        """Tell every admin whose card is in what a program here is about to ask for."""
        for session in self._sessions:
            session.remark(text)

    def take_reader(self) -> Reader:
        """The first free reader, or a ``RefusedError`` that says why there is none."""
        for number in sorted(self._readers):
            if self._readers[number].is_free:
                return self._readers[number]
        if not self._readers:
            text = "No virtual card process runs on the remote: have its service restarted."
        else:
            text = f"All {len(self._readers)} readers of the remote have a card in: try again when one is free."
        raise RefusedError(RefusalCode.NO_READER, text)

    def attach(self, reader: Reader) -> None:
        """A virtual card process has come."""
        log.info("reader %d is ready", reader.number)
        self._readers[reader.number] = reader

    def detach(self, reader: Reader) -> None:
        """A virtual card process has gone."""
        log.info("reader %d is gone", reader.number)
        if self._readers.get(reader.number) is reader:
            del self._readers[reader.number]
        reader.lost()


async def reach_limit(limits: SessionLimits, last_use: Callable[[], float]) -> str:
    """Return when a limit is reached, with the reason for people; never, where there is none.

    ``last_use()`` is when the card was used last, by the event loop's clock.
    """
    clock = asyncio.get_running_loop().time
    begun = clock()
    while True:
        now = clock()
        left = {
            "The card was not used for as long as the remote's owner allows.": (limits.idle or inf) - now + last_use(),
            "The connection lasted as long as the remote's owner allows.": (limits.total or inf) - now + begun,
        }
        reason, seconds = min(left.items(), key=lambda item: item[1])
        if seconds <= 0:
            return reason
        await asyncio.sleep(min(seconds, LONGEST_SLEEP))
