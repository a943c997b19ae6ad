"""A remote that abuses the admins who come to it: it tries to be one of them at another, honest remote.

python -m tests.system.hostile_remote FOLDER PORT HONEST_HOST relay|dress

``FOLDER`` has its own identity (key.pem, certificate.pem). It serves one admin and prints a line of JSON for each thing
that it tries: ``relay`` passes the honest remote's challenge on as its own; ``dress`` lets the admin insert the card,
then asks the card to sign the honest remote's challenge, in many clothes.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sra.errors import RefusedError
from sra.identity import certificates, challenges
from sra.identity.certificates import CardCertificate
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinReply, PinRequest, Slot
from sra.transport.channel import Channel, open_channel
from sra.transport.tls_trust import client_context
from sra.wire.connection import Connection
from sra.wire.messages import (
    ALPN,
    NO_LIMITS,
    NONCE_BYTES,
    VERSIONS,
    CardInserted,
    Challenge,
    Hello,
    InsertCard,
    Message,
    Proof,
    Welcome,
)
from sra.wire.states import Role
from tests.system.disguises import disguises, honest_signature

PATIENCE = 20.0


class Trap(Channel):
    """The hostile end of a connection: tells the program when an admin has come."""

    def __init__(self, arrived: asyncio.Queue[Channel]) -> None:
        super().__init__(Connection(Role.REMOTE), "an admin")
        self._arrived = arrived

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell."""
        super().connection_made(transport)
        self._arrived.put_nowait(self)


def tell(attempt: str, outcome: str) -> None:
    print(json.dumps({"attempt": attempt, "outcome": outcome}), flush=True)


async def honest(host: str) -> Channel:
    context = client_context(None, [ALPN])
    return await open_channel(host, 4116, context, Connection(Role.ADMIN), server_name=host, deadline=5)


async def try_proof(attempt: str, channel: Channel, signature: bytes) -> None:
    """Show the honest remote a proof."""
    try:
        answer = await channel.ask(Proof(signature), PATIENCE)
    except RefusedError as error:
        tell(attempt, f"refused: {error.code}")
    else:
        tell(attempt, type(answer).__name__)


async def relay(admin: Channel, host: str) -> None:
    """Be in between: the admin's words go to the honest remote, and its challenge to the admin."""
    opening = await admin.next_question(PATIENCE)
    there = await honest(host)
    challenge = await there.ask(opening.message, PATIENCE)
    admin.answer(opening.number, challenge)
    closing = await admin.next_question(PATIENCE)
    assert isinstance(closing.message, Proof)
    await try_proof("the proof for another machine", there, closing.message.signature)
    await there.close("done")


class Answerer:
    """Takes the card in, and then has no more to say."""

    def __init__(self) -> None:
        self.inserted = asyncio.Event()

    async def answer(self, question: Message) -> Message:
        assert isinstance(question, InsertCard)
        asyncio.get_running_loop().call_soon(self.inserted.set)
        return CardInserted("a reader")

    async def hear(self, notice: Message) -> None:
        """Nothing."""


async def dress(admin: Channel, host: str) -> None:
    """Let the admin in, ask for the PIN, and have the card sign what would be a proof elsewhere."""
    hello = await welcome(admin)
    answerer = Answerer()
    serving = asyncio.create_task(admin.serve(answerer))
    await answerer.inserted.wait()
    there = await honest(host)
    nonce = secrets.token_bytes(NONCE_BYTES)
    challenge = await there.ask(Hello(VERSIONS, nonce, hello.certificate), PATIENCE)
    assert isinstance(challenge, Challenge)
    statement = challenges.statement(there.peer_certificate, challenge.nonce, nonce, hello.certificate)
    card = certificates.parse(hello.certificate)
    await ask(admin, "a signature without a PIN", honest_signature(card.algorithm, statement))
    pin = await admin.ask(PinRequest(None), PATIENCE)
    assert isinstance(pin, PinReply)
    tell("the PIN", pin.outcome)
    await try_disguises(admin, card, statement)
    ordinary = await ask(admin, "an ordinary signature", honest_signature(card.algorithm, statement))
    await try_proof("an ordinary signature as a proof", there, ordinary)
    await there.close("done")
    await flood(admin, card.algorithm)
    await admin.close("That was all.", final=True)
    await serving


async def welcome(admin: Channel, account: str = "root") -> Hello:
    opening = await admin.next_question(PATIENCE)
    assert isinstance(opening.message, Hello)
    admin.answer(opening.number, Challenge(VERSIONS[0], secrets.token_bytes(NONCE_BYTES)))
    closing = await admin.next_question(PATIENCE)
    admin.answer(closing.number, Welcome(account, "an honest machine", NO_LIMITS, "1a2b3c4d"))
    return opening.message


async def try_disguises(admin: Channel, card: CardCertificate, statement: bytes) -> None:
    for name, request in disguises(card, statement).items():
        await ask(admin, name, request)


async def ask(admin: Channel, attempt: str, request: KeyRequest) -> bytes:
    """What the admin's card makes of it; nothing if it is refused."""
    try:
        reply = await admin.ask(request, PATIENCE)
    except RefusedError as error:
        tell(attempt, f"refused: {error.code}")
        return b""
    assert isinstance(reply, KeyReply)
    tell(attempt, "done")
    return reply.output


async def flood(admin: Channel, algorithm: Algorithm) -> None:
    """Ask for a key that isn't there, more often than any person's programs would."""
    request = KeyRequest(Slot.CARD_AUTHENTICATION, algorithm, Operation.SIGN, bytes(32))
    outcomes = set()
    for _ in range(60):
        try:
            await admin.ask(request, PATIENCE)
        except RefusedError as error:
            outcomes.add(error.text)
    tell("a flood", "slowed down" if "The remote asks too often." in outcomes else "answered")


@asynccontextmanager
async def trap(folder: str, port: str) -> AsyncIterator[asyncio.Queue[Channel]]:
    """The admins who connect to this port, where the identity in the folder is shown; it says when it waits."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(folder) / "certificate.pem", Path(folder) / "key.pem")
    context.set_alpn_protocols([ALPN])
    arrived: asyncio.Queue[Channel] = asyncio.Queue()
    server = await asyncio.get_running_loop().create_server(lambda: Trap(arrived), None, int(port), ssl=context)
    print("waiting", flush=True)
    yield arrived
    server.close()


async def main(folder: str, port: str, host: str, how: str) -> None:
    async with trap(folder, port) as arrived:
        admin = await arrived.get()
        await {"relay": relay, "dress": dress}[how](admin, host)
    print("over", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
