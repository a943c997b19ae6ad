"""Somebody who has no business here talks to a port of the product, in every way that is wrong, all at the same time.

python -m tests.system.stranger HOST PORT prints for each way what was received (hexadecimal), and after how long the
other side had closed the connection. ``flood COUNT`` behind it makes so many connections at once instead, and prints
how many of them came as far as TLS.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import ssl
import sys
import time

from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot
from sra.wire.frames import Frame, encode
from sra.wire.messages import Attach, Hello, Message, Ping, Proof

GIVE_UP = 12.0
CONNECT = 10.0

SIGN = KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, bytes(32))
OUT_OF_TURN: dict[str, Message] = {
    "a key request": SIGN,
    "a ping": Ping(),
    "a proof": Proof(bytes(64)),
    "a wrong secret": Attach(secrets.token_bytes(32), 0),
    "a certificate that is none": Hello((1,), bytes(32), secrets.token_bytes(500)),
}
SAID = {name: encode(Frame(1, message)) for name, message in OUT_OF_TURN.items()} | {
    "random bytes": secrets.token_bytes(500),
    "a frame of a gigabyte": (1 << 30).to_bytes(4, "big") + bytes(2000),
    "a frame without a body": bytes(4),
    "a web request": b"GET / HTTP/1.1\r\nHost: remote\r\n\r\n",
    "half a frame": (100).to_bytes(4, "big") + bytes(20),
    "nothing": b"",
}


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["sra/1"])
    return context


async def said(host: str, port: int, data: bytes, *, encrypted: bool, slowly: bool = False) -> dict[str, object]:
    """Say something; what came back, and when the other side had enough."""
    reader, writer = await asyncio.open_connection(host, port, ssl=tls() if encrypted else None)
    begun = time.monotonic()
    received = bytearray()
    listening = asyncio.create_task(_listen(reader, received))
    for part in (bytes([byte]) for byte in data) if slowly else [data]:
        writer.write(part)
        if slowly:
            await asyncio.wait({listening}, timeout=0.1)
    closed = await asyncio.wait({listening}, timeout=GIVE_UP)
    writer.transport.abort()
    return {"received": received.hex(), "closed": bool(closed[0]), "seconds": round(time.monotonic() - begun, 2)}


async def _listen(reader: asyncio.StreamReader, received: bytearray) -> None:
    try:
        while part := await reader.read(4096):
            received += part
    except OSError:
        return


async def every_way(host: str, port: int) -> dict[str, dict[str, object]]:
    hello = encode(Frame(1, Hello((1,), bytes(32), bytes(90))))
    ways = {name: said(host, port, data, encrypted=True) for name, data in SAID.items()} | {
        "no TLS, nothing": said(host, port, b"", encrypted=False),
        "no TLS, random bytes": said(host, port, secrets.token_bytes(500), encrypted=False),
        "one byte after the other": said(host, port, hello, encrypted=True, slowly=True),
    }
    return dict(zip(ways, await asyncio.gather(*ways.values()), strict=True))


def flood(host: str, port: int, count: int) -> int:
    """So many connections at once, all held; how many came as far as TLS."""
    open_ones = []
    for _ in range(count):
        try:
            connection = tls().wrap_socket(socket.create_connection((host, port), timeout=CONNECT))
            open_ones.append(connection)
        except OSError:
            continue
    return len(open_ones)


def main() -> None:
    host, port, *more = sys.argv[1:]
    if more:
        print(flood(host, int(port), int(more[1])))
    else:
        print(json.dumps(asyncio.run(every_way(host, int(port)))))


if __name__ == "__main__":
    main()
