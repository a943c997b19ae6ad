"""An admin that shows the remote a proof for the second time, and proofs that are none.

python -m tests.system.hostile_admin HOST CARDS_DIR CARD < PIN: prints a line for each thing that it tries.
With SLOT as the last argument it tries one thing: a sound proof, by that slot's key.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

from msgspec.structs import replace

from sra.cards.base import Card
from sra.cards.software.backend import SoftwareBackend
from sra.errors import RefusalCode, RefusedError
from sra.identity import certificates, challenges
from sra.piv.keys import Slot
from sra.piv.objects import CERTIFICATES, certificate_in
from sra.transport.channel import Channel, open_channel
from sra.transport.tls_trust import client_context
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, NONCE_BYTES, VERSIONS, Challenge, Hello, Proof
from sra.wire.states import Role


async def opened(host: str, hello: Hello) -> tuple[Channel, bytes]:
    """A new connection that is challenged; the remote's nonce."""
    context = client_context(None, [ALPN])
    channel = await open_channel(host, 4116, context, Connection(Role.ADMIN), server_name=host, deadline=5)
    challenge = await channel.ask(hello, 5)
    assert isinstance(challenge, Challenge)
    return channel, challenge.nonce


async def show(name: str, channel: Channel, signature: bytes) -> None:
    try:
        answer = await channel.ask(Proof(signature), 5)
    except RefusedError as error:
        print(f"{name}: refused: {error.code}", f": {error.text}" * (error.code is RefusalCode.USAGE), sep="")
    else:
        print(f"{name}: {type(answer).__name__}")
    await channel.close("done")


async def sign(card: Card, statement: bytes, slot: Slot = Slot.AUTHENTICATION) -> bytes:
    certificate = certificates.parse(_certificate(card, slot))
    request = challenges.key_request(certificate.algorithm, statement)
    return (await card.use_key(replace(request, slot=slot))).output


def _certificate(card: Card, slot: Slot = Slot.AUTHENTICATION) -> bytes:
    return certificate_in(card.contents.objects[CERTIFICATES[slot]]) or b""


async def main(host: str, folder: str, name: str, slot: str = "") -> None:
    card = await SoftwareBackend(Path(folder)).open(name)
    if slot:
        await prove_by(card, host, Slot(int(slot, 16)))
    else:
        await card.verify_pin(sys.stdin.readline().strip().encode())
        await try_everything(card, host)
    await card.close()


async def prove_by(card: Card, host: str, slot: Slot) -> None:
    hello = Hello(VERSIONS, secrets.token_bytes(NONCE_BYTES), _certificate(card, slot))
    channel, nonce = await opened(host, hello)
    statement = challenges.statement(channel.peer_certificate, nonce, hello.nonce, hello.certificate)
    await show(f"a proof by {slot:02X}", channel, await sign(card, statement, slot))


async def try_everything(card: Card, host: str) -> None:
    hello = Hello(VERSIONS, secrets.token_bytes(NONCE_BYTES), _certificate(card))
    channel, nonce = await opened(host, hello)
    statement = challenges.statement(channel.peer_certificate, nonce, hello.nonce, hello.certificate)
    proof = await sign(card, statement)
    await show("a proof", channel, proof)
    channel, _ = await opened(host, hello)
    await show("the same proof again", channel, proof)
    channel, _ = await opened(host, hello)
    await show("random bytes", channel, secrets.token_bytes(len(proof)))
    channel, _ = await opened(host, hello)
    await show("nothing", channel, b"")
    channel, nonce = await opened(host, hello)
    other = challenges.statement(b"another machine's certificate", nonce, hello.nonce, hello.certificate)
    await show("a proof for another machine", channel, await sign(card, other))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
