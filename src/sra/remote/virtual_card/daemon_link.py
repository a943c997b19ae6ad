"""The virtual card's way to srad: port 4117, on this machine only.

The process proves with the secret that it may serve a reader, and srad proves with its TLS identity that it is srad:
any local program could listen on that port while srad is down, and would be told the secret otherwise.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError, SraError
from sra.piv.keys import KeyReply, KeyRequest, PinReply, PinRequest
from sra.transport.channel import Channel, open_channel
from sra.transport.tls_trust import client_context
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, KEY_DEADLINE_OF_VIRTUAL_CARD, Attach, CardInserted, EjectCard, InsertCard, Message
from sra.wire.states import Role, State

CONNECT_DEADLINE = 5.0
"""Seconds for srad, on the same machine, to answer."""
WAIT = 0.2
"""Seconds between tries while srad is not there."""
SECRET_BYTES = 32
MAX_CERTIFICATE_FILE = 64 * 1024

log = logging.getLogger("sra.card")


class InsertedCard(Protocol):
    """A card in the reader."""

    async def open(self) -> None:
        """Put it in."""

    async def close(self) -> None:
        """Take it out, at once."""


class DaemonLink:
    """One connection to srad: inserts and ejects as it says, and has keys used and PINs checked through it.

    ``make_card`` makes the card that an InsertCard describes; its keys and PIN are reached through the link.
    """

    def __init__(
        self, channel: Channel, name: str, make_card: Callable[[InsertCard, DaemonLink], InsertedCard]
    ) -> None:
        self._channel = channel
        self._name = name
        self._make_card = make_card
        self._card: InsertedCard | None = None

    async def serve(self) -> None:
        """Do what srad says until the connection ends; then the reader is empty."""
        try:
            await self._channel.serve(self)
        finally:
            await self._eject()

    async def answer(self, question: Message) -> Message:
        """Insert a card."""
        if not isinstance(question, InsertCard):
            raise ProtocolError(f"{type(question).__name__} from srad")
        await self._eject()
        self._card = card = self._make_card(question, self)  # kept from now on, so that it goes whatever happens
        try:
            await card.open()
        except OSError as error:
            await self._eject()
            raise RefusedError(RefusalCode.NO_READER, f"the reader's socket: {error.strerror}") from error
        log.info("card inserted, %d keys", len(question.contents.keys))
        return CardInserted(self._name)

    async def hear(self, notice: Message) -> None:
        """Eject the card, and say that it is out."""
        if isinstance(notice, EjectCard):
            await self._eject()
            self._channel.notify(EjectCard("out"))

    async def _eject(self) -> None:
        card, self._card = self._card, None
        if card is not None:
            await card.close()
            log.info("card ejected")

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Have a key used by the admin's card."""
        reply = await self._channel.ask(request, KEY_DEADLINE_OF_VIRTUAL_CARD)
        if not isinstance(reply, KeyReply):
            raise ProtocolError("srad answered something else")
        return reply

    async def check_pin(self, request: PinRequest) -> PinReply:
        """Have a PIN checked on the admin's side."""
        reply = await self._channel.ask(request, KEY_DEADLINE_OF_VIRTUAL_CARD)
        if not isinstance(reply, PinReply):
            raise ProtocolError("srad answered something else")
        return reply


async def attach(port: int, reader: int, secret_file: Path, certificate_file: Path) -> Channel:
    """A connection that srad has accepted for this reader."""
    expected = _certificate(certificate_file)
    channel = await open_channel(
        "127.0.0.1", port, client_context(None, [ALPN]), Connection(Role.REMOTE, State.DETACHED),
        server_name="localhost", deadline=CONNECT_DEADLINE,
    )  # fmt: skip
    try:
        _check_identity(channel, expected, port)
        await channel.ask(Attach(_read(secret_file), reader), CONNECT_DEADLINE)
    except BaseException:
        channel.abort(LinkError("This is not srad, or it does not let us in."))
        raise
    channel.start_keepalive()
    return channel


def _check_identity(channel: Channel, expected: bytes, port: int) -> None:
    if not hmac.compare_digest(channel.peer_certificate, expected):
        raise LinkError(f"What listens on port {port} is not srad: it does not have srad's identity.")


def _certificate(path: Path) -> bytes:
    """The certificate of srad (DER): the first in its file, which may have a chain behind it."""
    try:
        return x509.load_pem_x509_certificate(_read(path)).public_bytes(Encoding.DER)
    except ValueError as error:
        raise LinkError(f"{path} is not a certificate in PEM.") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CERTIFICATE_FILE)
    except OSError as error:
        raise LinkError(f"{path} can't be read: {error.strerror}.") from error


async def stay_attached(dial: Callable[[], Awaitable[Channel]], serve: Callable[[Channel], Awaitable[None]]) -> None:
    """Serve the reader for ever, over one connection to srad after the other."""
    said = ""
    while True:
        try:
            channel = await dial()
        except SraError as error:
            if str(error) != said:
                said = str(error)
                log.warning("no srad yet: %s", said)
        else:
            said = ""
            log.info("attached to srad")
            await serve(channel)
        await asyncio.sleep(WAIT)
