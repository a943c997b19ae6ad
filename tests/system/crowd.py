"""A thousand strangers from a thousand networks at port 4116, and an admin who wants to come in.

``python -m tests.system.crowd flood HOST4 HOST6 PEM`` has every stranger come again and again and stay for as long as
it can, as far as its phase: a TCP connection, a TLS one, a Hello of its own with every ping answered, a Hello with the
certificate in PEM, which is a known admin's. It ends with the test's host.

``admin KEY HOST SOURCE COUNT`` comes in so many times from the address SOURCE (``-``: the host's own, ``new``: from
another network each time) and prints the seconds that each took as JSON, ``null`` for a time that it was not let in.
``card KEY`` makes a card's key in that file and prints its certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sra.errors import SraError
from sra.identity import challenges
from sra.piv.keys import Algorithm
from sra.transport.channel import Channel
from sra.transport.tls_trust import client_context
from sra.wire.connection import Connection
from sra.wire.messages import ALPN, NONCE_BYTES, VERSIONS, Challenge, Hello, Proof, Welcome
from sra.wire.states import Role

PORT = 4116
STRANGERS = 1000
IN_TIME = 2.0
"""Seconds in which an admin has to be in."""
PAUSE = 0.3
"""Seconds after which a stranger comes again."""
STAY = 120.0


async def dial(host: str, source: str) -> Channel:
    _, channel = await asyncio.get_running_loop().create_connection(
        lambda: Channel(Connection(Role.ADMIN), "remote"), host, PORT, ssl=client_context(None, [ALPN]),
        server_hostname="remote", local_addr=(source, 0) if source != "-" else None, ssl_handshake_timeout=10,
    )  # fmt: skip
    return channel


# The strangers.


async def by_tcp(host: str, source: str, _: bytes) -> None:
    reader, writer = await asyncio.open_connection(host, PORT, local_addr=(source, 0))
    try:
        await reader.read()
    finally:
        writer.close()


async def by_tls(host: str, source: str, _: bytes) -> None:
    await (await dial(host, source)).wait_lost()


async def by_hello(host: str, source: str, certificate: bytes) -> None:
    channel = await dial(host, source)
    channel.start_keepalive()
    await channel.ask(Hello(VERSIONS, secrets.token_bytes(NONCE_BYTES), certificate), STAY)
    await channel.wait_lost()


Phase = Callable[[str, str, bytes], Awaitable[None]]


async def flood(host4: str, host6: str, known: bytes) -> None:
    own = certificate_of(ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.DER)
    phases: tuple[tuple[Phase, bytes], ...] = ((by_tcp, b""), (by_tls, b""), (by_hello, own), (by_hello, known))

    async def come(number: int) -> None:
        host, source = next(itertools.islice(sources(host4, host6), number, None))
        await asyncio.sleep(number * PAUSE / STRANGERS)
        for phase, certificate in itertools.cycle(phases[number % 4 :] + phases[: number % 4]):
            with contextlib.suppress(OSError, SraError, TimeoutError):
                await phase(host, source, certificate)
            await asyncio.sleep(PAUSE)

    await asyncio.gather(*(come(number) for number in range(STRANGERS)))


def sources(host4: str, host6: str) -> Iterator[tuple[str, str]]:
    """Where the strangers go to, and where from: no two of one /24 or /48."""
    for number in range(STRANGERS // 2):
        yield host4, f"10.{128 + number // 250}.{number % 250}.7"
        yield host6, f"fd77:{number:x}:7::7"


# The admin.


async def come_in(host: str, source: str, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> None:
    """What ``sra connect`` does to be let in, with a card that is unlocked."""
    channel = await dial(host, source)
    try:
        nonce = secrets.token_bytes(NONCE_BYTES)
        challenge = await channel.ask(Hello(VERSIONS, nonce, certificate))
        if not isinstance(challenge, Challenge):
            raise TypeError(challenge)
        signed = challenges.statement(channel.peer_certificate, challenge.nonce, nonce, certificate)
        block = challenges.key_request(Algorithm.P256, signed).input
        welcome = await channel.ask(Proof(key.sign(block, ec.ECDSA(utils.Prehashed(hashes.SHA256())))))
        if not isinstance(welcome, Welcome):
            raise TypeError(welcome)
    finally:
        await channel.close("That was all.")


async def time_admin(key: ec.EllipticCurvePrivateKey, host: str, source: str, count: int) -> list[float | None]:
    certificate = certificate_of(key).public_bytes(Encoding.DER)
    seconds: list[float | None] = []
    for number in range(count):
        begun = time.monotonic()
        try:
            async with asyncio.timeout(IN_TIME):
                await come_in(host, source if source != "new" else f"10.250.{number % 250}.9", key, certificate)
            seconds.append(round(time.monotonic() - begun, 3))
        except (OSError, SraError, TimeoutError):
            seconds.append(None)
        await asyncio.sleep(0.6)  # no address may come more often than twice a second
    return seconds


def certificate_of(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """The same one each time, but for its signature: it goes by the key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")])
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, today - timedelta(1), today + timedelta(9))
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def load(path: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(Path(path).read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(key)
    return key


def main() -> None:
    what, *words = sys.argv[1:]
    if what == "card":
        key = ec.generate_private_key(ec.SECP256R1())
        Path(words[0]).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        print(certificate_of(key).public_bytes(Encoding.PEM).decode())
    elif what == "admin":
        socket.setdefaulttimeout(IN_TIME)
        print(json.dumps(asyncio.run(time_admin(load(words[0]), words[1], words[2], int(words[3])))))
    else:
        known = x509.load_pem_x509_certificate(Path(words[2]).read_bytes()).public_bytes(Encoding.DER)
        asyncio.run(flood(words[0], words[1], known))


if __name__ == "__main__":
    main()
