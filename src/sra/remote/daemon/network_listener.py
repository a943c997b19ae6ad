"""Port 4116: admins come in here, and are authenticated."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import Callable, Iterator
from typing import TypeVar

from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError, SraError
from sra.identity import challenges
from sra.identity.certificates import CardCertificate
from sra.identity.certificates import parse as parse_certificate
from sra.logs import of_session
from sra.remote.daemon.recent_admins import RecentAdmins
from sra.remote.daemon.sessions import Admission, Sessions
from sra.transport.channel import Channel
from sra.transport.gate import Gate, GateLimits
from sra.transport.listener import Listener, StrangerPlace
from sra.wire.connection import Connection
from sra.wire.messages import (
    MAX_TEXT,
    NONCE_BYTES,
    SESSION_BYTES,
    VERSIONS,
    Challenge,
    Hello,
    Message,
    Proof,
    Refusal,
    Welcome,
)
from sra.wire.states import Role

HELLO_DEADLINE = 5.0
"""Seconds for a stranger's first message."""
PROOF_DEADLINE = 120.0
"""Seconds for a person to find the PIN."""

log = logging.getLogger("sra.network")

M = TypeVar("M", Hello, Proof)


class NetworkListener:
    """Authenticates the admins that connect, and serves them."""

    def __init__(
        self,
        context: ssl.SSLContext,
        admission: Admission,
        sessions: Sessions,
        limits: GateLimits,
        known: RecentAdmins | None = None,
    ) -> None:
        self._admission = admission
        self._known = known or RecentAdmins(None)
        self._sessions = sessions
        streams = admission.screens.serve if admission.screens is not None else None
        self._listener = Listener(
            context, lambda: Connection(Role.REMOTE), Gate(limits, self._known), self._welcome, streams
        )

    async def open(self, addresses: tuple[str, ...], port: int) -> int:
        """Listen; the port."""
        return await self._listener.open(addresses, port)

    async def close(self) -> None:
        """End every connection."""
        await self._listener.close()

    async def _welcome(self, channel: Channel, place: StrangerPlace) -> None:
        if self._sessions.is_full:
            await channel.close("This remote has as many connections as it may have: try again later.")
            return
        try:
            account, certificate = await authenticate(channel, self._admission, place.recognise)
        except RefusedError as error:
            log.warning("%s: refused: %s", channel.peer_address, error)
            self._admission.record("refused", address=channel.peer_address, code=error.code)
            await channel.flush_and_close(error)
        except (LinkError, ProtocolError) as error:
            log.info("%s: did not authenticate: %s", channel.peer_address, error)
            await channel.flush_and_close(error)
        else:
            place()
            if self._known.remember(channel.peer_address, certificate.key_bytes):
                # In a thread: a slow disk is not to hold the daemon up.
                asyncio.get_running_loop().run_in_executor(None, self._known.keep, self._known.content())
            about = of_session(channel.session)
            log.info("%s: connected as %s", channel.peer_address, account, extra=about)
            await self._sessions.serve(channel, account, certificate)
            log.info("%s: disconnected", channel.peer_address, extra=about)


async def authenticate(
    channel: Channel, admission: Admission, recognise: Callable[[bytes], None] = lambda _: None
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
        await admission.admit()
        certificate = parse_certificate(hello.certificate)
    recognise(certificate.key_bytes)
    nonce = secrets.token_bytes(NONCE_BYTES)
    channel.answer(opening.number, Challenge(version, nonce))
    channel.start_keepalive()
    closing = await channel.next_question(PROOF_DEADLINE)
    proof = _expect(Proof, closing.message)
    with _refusing(channel, closing.number):
        signed = challenges.statement(admission.server_certificate, nonce, hello.nonce, hello.certificate)
        if not challenges.is_proven(certificate, signed, proof.signature):
            raise RefusedError(RefusalCode.PROOF, "The signature is not one of the card's authentication key.")
        certificate.check_validity(admission.now())
        await admission.check_certificate(certificate)
        account = await admission.find_account(certificate)
    channel.session = secrets.token_hex(SESSION_BYTES)
    key = certificate.public_key_hash("sha256")
    facts = {"address": channel.peer_address, "card": certificate.fingerprint, "key": key, "session": channel.session}
    admission.record("authenticated", account=account, **facts)
    channel.answer(closing.number, Welcome(account, admission.host, admission.session_limits, channel.session))
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
