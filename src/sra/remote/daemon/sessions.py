"""The authenticated connections, and the cards that they have in this machine's readers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sra.audit import RecordEvent
from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError, SraError
from sra.identity import challenges
from sra.identity.certificates import CardCertificate
from sra.identity.certificates import parse as parse_certificate
from sra.logs import clean, of_session
from sra.piv.keys import KeyReply, KeyRequest, PinReply, PinRequest
from sra.remote.daemon import time_limits
from sra.remote.daemon.readers import Reader
from sra.remote.daemon.screens import Screens
from sra.transport.channel import Channel
from sra.wire.messages import (
    KEY_DEADLINE_OF_SRAD,
    MAX_TEXT,
    NO_LIMITS,
    NONCE_BYTES,
    SESSION_BYTES,
    VERSIONS,
    CardInserted,
    Challenge,
    EjectCard,
    Hello,
    InsertCard,
    Message,
    NoScreen,
    Proof,
    Refusal,
    Remark,
    ScreenRequest,
    SessionLimits,
    Welcome,
)

HELLO_DEADLINE = 5.0
"""Seconds for a stranger's first message."""
PROOF_DEADLINE = 120.0
"""Seconds for a person to find the PIN."""

MAX_OF_A_CARD = 4
"""Connections of one card at a time; a newer one ends the oldest. One has its card in a reader, the others wait to or
are about to be found dead. Without this, one person could take all places."""

MAX_REFUSALS = 20
"""Different reasons that are logged in one session: there are fewer, and an admin that invents more fills no log."""

log = logging.getLogger("sra.sessions")

M = TypeVar("M", Hello, Proof)


async def _nothing() -> None:
    """No condition."""


async def _accept(_: CardCertificate) -> None:
    """A paired key is enough."""


@dataclass(frozen=True)
class Admission:
    """What this remote is, and whom it lets in."""

    host: str
    server_certificate: bytes
    find_account: Callable[[CardCertificate], Awaitable[str]]
    """The account that the certificate is paired with, or ``RefusedError``."""
    record: RecordEvent
    max_sessions: int = 64
    admit: Callable[[], Awaitable[None]] = _nothing
    """Before anything else: may this remote be connected to at all? ``RefusedError`` if not."""
    check_certificate: Callable[[CardCertificate], Awaitable[None]] = _accept
    """After the proof and the certificate's time: does the remote's policy accept it? ``RefusedError`` if not."""
    session_limits: SessionLimits = NO_LIMITS
    """What the owner demands of every connection."""
    screens: Screens | None = None
    """The machine's screen, where it can be shared."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """By which certificates are valid: never earlier than a time that has passed, though the clock is set back."""


def _ignore(_: bytes) -> None:
    """No place depends on it."""


async def authenticate(
    channel: Channel, house: Admission, recognise: Callable[[bytes], None] = _ignore
) -> tuple[str, CardCertificate]:
    """The account that the admin's card opens, and the card's certificate; from now on the channel has a session.

    ``recognise`` is told the public key as soon as it was shown, when nothing is proven yet.

    Trust in order: the proof first, then the certificate's time, then the account, so that a stranger never makes
    this machine ask a directory. Raises ``RefusedError`` (already sent), ``LinkError`` or ``ProtocolError``.
    """
    opening = await channel.next_question(HELLO_DEADLINE)
    hello = _expect(Hello, opening.message)
    with _refusing(channel, opening.number):
        version = _choose_version(hello.versions)
        await house.admit()
        certificate = parse_certificate(hello.certificate)
    recognise(certificate.key_bytes)
    nonce = secrets.token_bytes(NONCE_BYTES)
    channel.answer(opening.number, Challenge(version, nonce))
    channel.start_keepalive()
    closing = await channel.next_question(PROOF_DEADLINE)
    proof = _expect(Proof, closing.message)
    with _refusing(channel, closing.number):
        signed = challenges.statement(house.server_certificate, nonce, hello.nonce, hello.certificate)
        if not challenges.is_proven(certificate, signed, proof.signature):
            raise RefusedError(RefusalCode.PROOF, "The signature is not one of the card's authentication key.")
        certificate.check_validity(house.now())
        await house.check_certificate(certificate)
        account = await house.find_account(certificate)
    channel.session = secrets.token_hex(SESSION_BYTES)
    key = certificate.public_key_hash("sha256")
    facts = {"address": channel.peer_address, "card": certificate.fingerprint, "key": key, "session": channel.session}
    house.record("authenticated", account=account, **facts)
    channel.answer(closing.number, Welcome(account, house.host, house.session_limits, channel.session))
    return account, certificate


def _expect(kind: type[M], message: Message) -> M:
    if isinstance(message, kind):
        return message
    raise LinkError("The admin said goodbye.")


def _choose_version(theirs: tuple[int, ...]) -> int:
    common = set(theirs) & set(VERSIONS)
    if not common:
        ours, said = (", ".join(map(str, sorted(versions))) for versions in (VERSIONS, theirs))
        raise RefusedError(
            RefusalCode.VERSION,
            f"This remote speaks version {ours} of the protocol, the admin's machine {said}: update the older one.",
        )
    return max(common)


@contextlib.contextmanager
def _refusing(channel: Channel, number: int) -> Iterator[None]:
    """Send the refusal that is raised inside as the answer to question ``number``; what else goes wrong is one too."""
    try:
        yield
    except RefusedError as error:
        channel.answer(number, Refusal(error.code, error.text[:MAX_TEXT]))
        raise
    except SraError as error:
        refusal = Refusal(RefusalCode.INTERNAL, "The remote could not find out whose card this is; its log says why.")
        channel.answer(number, refusal)
        raise RefusedError(refusal.code, str(error)) from error


class RemoteSession:
    """An authenticated connection; answers what the admin asks."""

    def __init__(self, channel: Channel, account: str, certificate: CardCertificate, sessions: Sessions) -> None:
        self.account = account
        self.card = certificate.fingerprint
        self.key = certificate.public_key_hash("sha256")
        """What tells cards apart: its holder can sign any number of other certificates for the same key."""
        self._channel = channel
        self._sessions = sessions
        self._reader: Reader | None = None
        self.begun = self._last_use = asyncio.get_running_loop().time()
        self._refusals: set[str] = set()

    @property
    def _record(self) -> RecordEvent:
        return self._sessions.house.record

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
            if self._sessions.house.screens is not None:
                await self._sessions.house.screens.end(self)
            self._record("disconnected", **self._facts())

    async def _end_at_limit(self) -> None:
        reason = await time_limits.reach(self._sessions.house.session_limits, lambda: self._last_use)
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
            return await self._share_screen(question)
        raise ProtocolError(f"{type(question).__name__} from an admin")

    async def _share_screen(self, question: ScreenRequest) -> Message:
        screens = self._sessions.house.screens
        if screens is None:
            return NoScreen(RefusalCode.NO_SCREEN, "This remote does not share its screen.")
        return await screens.grant(self, self._facts(), view_only=question.view_only)

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
            self._tell(error)
            raise
        except SraError:
            outcome = "failed"
            raise
        finally:
            self._record(event, outcome=outcome, **facts, **self._facts())
        return reply

    def _tell(self, refusal: RefusedError) -> None:
        """Log once in each session why the admin's side said no: of PC/SC, programs here get a status word at most."""
        text = clean(refusal.text)
        if text not in self._refusals and len(self._refusals) < MAX_REFUSALS:
            self._refusals.add(text)
            log.warning("the admin's side refused: %s", text, extra=of_session(self._channel.session))


class Sessions:
    """All authenticated connections and all readers of this machine."""

    def __init__(self, house: Admission) -> None:
        self.house = house
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
        return len(self._sessions) >= self.house.max_sessions

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
