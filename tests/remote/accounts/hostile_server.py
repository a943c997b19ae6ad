"""A directory server on the loopback address that does as it is told, well or badly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from sra.remote.accounts.ldap_connection import Server
from tests.remote.accounts.issuing import Authority

HOST = "localhost"
BIND_DONE, SEARCH_DONE, EXTENDED_DONE = 0x61, 0x65, 0x78
ENTRY, REFERENCE = 0x64, 0x73


def element(tag: int, value: bytes) -> bytes:
    """With a length of four bytes, as Active Directory writes it."""
    return bytes([tag, 0x84]) + struct.pack(">I", len(value)) + value


def message(number: int, operation: bytes) -> bytes:
    return element(0x30, element(2, bytes([number])) + operation)


def result(number: int, kind: int, code: int = 0, text: bytes = b"") -> bytes:
    return message(number, element(kind, element(0x0A, bytes([code])) + element(4, b"") + element(4, text)))


def entry(name: str, /, **attributes: list[bytes]) -> bytes:
    """In answer to request 3, the search."""
    listed = b"".join(
        element(0x30, element(4, key.encode()) + element(0x31, b"".join(element(4, value) for value in values)))
        for key, values in attributes.items()
    )
    return message(3, element(ENTRY, element(4, name.encode()) + element(0x30, listed)))


def reference(number: int = 3) -> bytes:
    return message(number, element(REFERENCE, element(4, b"ldap://elsewhere.example.com/")))


async def request(reader: asyncio.StreamReader) -> bytes:
    """The next message, whole; our own are short."""
    start = await reader.readexactly(2)
    size = start[1] & 0x7F if start[1] & 0x80 else 0
    length = await reader.readexactly(size)
    return start + length + await reader.readexactly(int.from_bytes(length) if size else start[1])


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def saying(*answers: bytes) -> Talk:
    """Answer each request with the next of these."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await request(reader)
            writer.write(answer)
            await writer.drain()

    return talk


@dataclass
class Running:
    server: Server
    connections: int = 0
    problems: list[BaseException] = field(default_factory=list)


def server_context(folder: Path, authority: Authority, name: str = HOST) -> ssl.SSLContext:
    certificate, key = authority.issue(names=[x509.DNSName(name)]).write(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def running(talk: Talk, context: ssl.SSLContext | None, *, is_tls: bool = True) -> AsyncIterator[Running]:
    """A server that talks like this, on a port of its own; what it still says at the end is cut off."""
    tasks: set[asyncio.Task[None]] = set()
    listening = socket.create_server(("127.0.0.1", 0))
    found = Running(Server(HOST, listening.getsockname()[1], is_tls))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await talk(reader, writer)
            await reader.read()
        writer.transport.abort()

    async with await asyncio.start_server(serve, sock=listening, ssl=context):
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
