"""A connection to a remote: prove who you are, insert the card, and answer what the remote asks of it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import msgspec

from sra.admin.events import Connected, Ejected, Inserted, KeyWithheld, TooMany
from sra.admin.guard import claims, decrypting_keys
from sra.admin.guard.guard import Guard
from sra.admin.guard.lending import LendingState, LentCard
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.unlocking import Unlocking
from sra.cards.base import Card
from sra.errors import (
    CardRemovedError,
    KeyMissingError,
    LinkError,
    PinNeededError,
    ProtocolError,
    RefusalCode,
    RefusedError,
)
from sra.identity import certificates, challenges
from sra.identity.certificates import CardCertificate
from sra.piv.contents import contents_to_insert
from sra.piv.keys import KeyRequest, PinRequest, Slot
from sra.piv.objects import CERTIFICATES, certificate_in
from sra.system.processes import first_of
from sra.transport.channel import Channel, open_channel
from sra.transport.known_remotes import DEFAULT_PORT
from sra.transport.tls_trust import TrustPolicy
from sra.wire.connection import Connection
from sra.wire.messages import (
    ALPN,
    NONCE_BYTES,
    VERSIONS,
    CardInserted,
    Challenge,
    EjectCard,
    Hello,
    InsertCard,
    Message,
    Proof,
    Remark,
    Welcome,
)
from sra.wire.states import Role

CONNECT_DEADLINE = 15.0
"""Seconds for TCP and TLS."""
ANSWER_DEADLINE = 30.0
"""Seconds for the remote's part of the handshake: it may have to ask a directory."""
EJECT_DEADLINE = 10.0
"""Seconds for the remote to say that its reader is empty."""


@dataclass(frozen=True)
class RemoteEndpoint:
    """Where to connect, and how that machine is trusted."""

    host: str
    port: int
    trust: TrustPolicy

    def __str__(self) -> str:
        """As the person called it."""
        return shown_remote(self.host, self.port)


def shown_remote(host: str, port: int) -> str:
    """``HOST``, with the port where it is not the usual one."""
    if port == DEFAULT_PORT:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def connect(remote: RemoteEndpoint, lender: LentCard, unlocking: Unlocking) -> AdminSession:
    """An authenticated session: TCP, TLS, challenge and proof are the four round trips that it costs.

    Raises ``LinkError``, ``RefusedError``, ``IdentityChangedError``, ``UntrustedRemoteError`` or ``CardError``.
    """
    certificate = _authentication_certificate(lender.card)
    channel = await _open(remote)
    try:
        welcome = await _authenticate(channel, remote, lender.card, certificate, unlocking)
    except BaseException as error:
        await channel.close(_why(error))
        raise
    if welcome.limits.limit_pin_cache:
        lender.memory.limit(welcome.limits.pin_cache)
    channel.session = welcome.session
    lender.watcher.notice(Connected(welcome.account, welcome.host, welcome.session))
    return AdminSession(channel, welcome, LendingState(lender, str(remote), welcome.account))


def _authentication_certificate(card: Card) -> CardCertificate:
    container = card.contents.objects.get(CERTIFICATES[Slot.AUTHENTICATION], b"")
    der = certificate_in(container) if container else None
    if not der:
        raise KeyMissingError("The card has no PIV authentication certificate (slot 9A), so it can't say who you are.")
    return certificates.parse(der)


async def _open(remote: RemoteEndpoint) -> Channel:
    """A channel to a remote that is trusted; opened anew if it was lost while a person compared the fingerprint."""
    channel = await _open_once(remote)
    return await _open_once(remote) if channel.is_lost else channel


async def _open_once(remote: RemoteEndpoint) -> Channel:
    channel = await open_channel(
        remote.host, remote.port, remote.trust.context([ALPN]), Connection(Role.ADMIN),
        server_name=remote.host, deadline=CONNECT_DEADLINE,
    )  # fmt: skip
    try:
        await asyncio.to_thread(remote.trust.check, remote.host, remote.port, channel.peer_certificate)
    except BaseException:
        channel.abort(LinkError("The remote is not trusted."))
        raise
    return channel


async def _authenticate(
    channel: Channel, remote: RemoteEndpoint, card: Card, certificate: CardCertificate, unlocking: Unlocking
) -> Welcome:
    nonce = secrets.token_bytes(NONCE_BYTES)
    challenge = await channel.ask(Hello(VERSIONS, nonce, certificate.der), ANSWER_DEADLINE)
    if not isinstance(challenge, Challenge) or challenge.version not in VERSIONS:
        raise ProtocolError("The remote chose a version that was not offered.")
    channel.start_keepalive()
    signed = challenges.statement(channel.peer_certificate, challenge.nonce, nonce, certificate.der)
    proof = await _prove(card, certificate, signed, unlocking, str(remote), channel)
    welcome = await channel.ask(Proof(proof), ANSWER_DEADLINE)
    if not isinstance(welcome, Welcome):
        raise ProtocolError("The remote answered something else.")
    welcome = msgspec.structs.replace(welcome, account=claims.shown_account(welcome.account))
    unlocking.check_account(welcome.account)
    return welcome


async def _prove(
    card: Card, certificate: CardCertificate, signed: bytes, unlocking: Unlocking, remote: str, channel: Channel
) -> bytes:
    """The card's signature; given up at once when the remote goes away while the person looks for the PIN."""
    signing = _sign(card, certificate, signed, unlocking, remote)
    async with first_of(signing, channel.wait_lost()) as (proving, _):
        if not proving.done():
            raise LinkError("The remote closed the connection before the PIN was given.")
        signature: bytes = proving.result()
        return signature


async def _sign(card: Card, certificate: CardCertificate, signed: bytes, unlocking: Unlocking, remote: str) -> bytes:
    await unlocking.unlock(remote)
    request = challenges.key_request(certificate.algorithm, signed)
    try:
        return (await card.use_key(request)).output
    except PinNeededError:
        await unlocking.unlock(remote, again=True)
        return (await card.use_key(request)).output


def _why(error: BaseException) -> str:
    return "The admin gave up." if isinstance(error, asyncio.CancelledError) else "The admin's side could not go on."


class AdminSession:
    """An authenticated connection; answers what the remote asks of the inserted card."""

    def __init__(self, channel: Channel, welcome: Welcome, lending: LendingState) -> None:
        self.account = welcome.account
        self.host = welcome.host
        self.limits = welcome.limits
        self.lending = lending
        self._channel = channel
        self._card = lending.lender.card
        self._watcher = lending.lender.watcher
        self._guard: Guard | None = None
        self._out = asyncio.Event()
        self._out.set()
        self._ejecting = False
        self._inserting = asyncio.Lock()
        channel.on_excess = lambda kind: self._watcher.notice(TooMany(kind))
        self._serving = asyncio.create_task(channel.serve(self))

    @property
    def channel(self) -> Channel:
        """For the screen, which the connection is good for too."""
        return self._channel

    @property
    def is_final(self) -> bool:
        """Whether the remote asked not to be connected to again."""
        goodbye = self._channel.goodbye
        return goodbye is not None and goodbye.final

    async def insert(self, slots: Collection[Slot], *, pin_pad: bool | None = None) -> str:
        """Insert the keys of these slots; the name of the remote's reader. Raises ``RefusedError``, ``LinkError``.

        The reader has a PIN pad if the person's terms say so, or as ``pin_pad`` says.
        """
        certificate = _authentication_certificate(self._card)
        guid = hashlib.sha256(certificate.der).digest()[:16]
        contents = contents_to_insert(self._card.contents, self._lendable(slots), guid)
        question = InsertCard(contents, self.lending.lender.terms.entry is PinEntry.PAD if pin_pad is None else pin_pad)
        self._guard = Guard(self.lending, contents.keys)
        self._out.clear()
        try:
            async with self._inserting:
                answer = await self._channel.ask(question, ANSWER_DEADLINE)
        except BaseException:
            self._empty()
            raise
        if not isinstance(answer, CardInserted):
            raise ProtocolError("The remote answered something else.")
        self._watcher.notice(Inserted(answer.reader))
        return answer.reader

    def _lendable(self, slots: Collection[Slot]) -> set[Slot]:
        """The slots without those that may not decrypt for a remote, of which the person is told."""
        allow_raw_rsa = self.lending.lender.terms.allow_raw_rsa
        reasons = decrypting_keys.withheld(self._card.contents, slots, allow_raw_rsa=allow_raw_rsa)
        for slot, reason in reasons.items():
            self._watcher.notice(KeyWithheld(slot, reason))
        return set(slots) - reasons.keys()

    @property
    def is_inserted(self) -> bool:
        """Whether the card is in the remote's reader, as far as this side knows."""
        return not self._out.is_set()

    async def hold(self, until: Callable[[], Awaitable[object]] | None = None) -> None:
        """Return when the card is out of the remote's reader, by whatever cause, or ``until`` returns.

        Raises ``CardRemovedError`` when it was taken out here (and then it is out there too), ``LinkError`` when the
        connection ended.
        """
        waits = ((until or self._out.wait)(), self._card.wait_removed(), self._channel.wait_lost())
        async with first_of(*waits) as (_, removed, lost):
            is_removed, is_lost = removed.done(), lost.done()
        if is_removed:
            await self.eject("The card was taken out.")
            raise CardRemovedError("The card was taken out, so it is out of the remote's reader too.")
        if is_lost:
            raise self._channel.reason

    async def eject(self, reason: str) -> None:
        """Take the card out of the remote's reader; returns when the remote says that it is."""
        if self._out.is_set():
            return
        self._end_guard()  # from this moment on nothing is answered, whatever the remote says
        async with self._inserting:  # until that is over the remote can't be told
            if not self._out.is_set():
                await self._have_ejected(reason)

    async def _have_ejected(self, reason: str) -> None:
        self._ejecting = True
        self._channel.notify(EjectCard(reason))
        async with first_of(self._out.wait(), self._channel.wait_lost(), seconds=EJECT_DEADLINE):
            pass
        if not self._out.is_set() and not self._channel.is_lost:
            self._channel.abort(LinkError("The remote did not say that the card is out of its reader."))

    async def close(self, reason: str) -> None:
        """Eject the card and close the connection."""
        await self.eject(reason)
        await self._channel.close(reason)
        await asyncio.gather(self._serving, return_exceptions=True)

    async def answer(self, question: Message) -> Message:
        """Have the guard answer."""
        if not isinstance(question, KeyRequest | PinRequest):
            raise ProtocolError(f"{type(question).__name__} from a remote")
        guard = self._guard
        if guard is None:
            raise ProtocolError("A remote asked for a card that was never inserted.")
        reply = await guard.answer(question)
        if guard.has_ended:  # what was made while the card was ejected stays here
            raise RefusedError(RefusalCode.NOT_INSERTED, "The card is ejected.")
        return reply

    async def hear(self, notice: Message) -> None:
        """The remote's reader is empty, as we asked or by the remote's doing; or the remote says what it is about."""
        if isinstance(notice, Remark):
            self.lending.hear_remark(notice.text)
        if isinstance(notice, EjectCard):
            ours = self._ejecting
            self._empty()
            if not ours:
                self._channel.notify(EjectCard("confirmed"))
                self._watcher.notice(Ejected(notice.reason))

    def _empty(self) -> None:
        self._end_guard()
        self._ejecting = False
        self._out.set()

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.end()
