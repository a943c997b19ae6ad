"""One connection to a directory server, in TLS before anything is asked.

The answer to StartTLS is read from the bare socket, and not a byte more: what an attacker in between adds to it
reaches the TLS handshake, which fails, and never the answers (RFC 4511, 6; the defect of CVE-2011-0411).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sra.errors import UsageError
from sra.remote.accounts import ldap_messages
from sra.remote.accounts.directory import DirectoryError
from sra.remote.accounts.ldap_messages import LdapAnswer, LdapEntry, LdapFormatError, Result, Search

MAX_ANSWERS = 16
"""Messages in the answer to a search for two entries, referrals included."""

FAILURES = (DirectoryError, LdapFormatError, OSError, EOFError)
"""The errors of a connection; ``TimeoutError`` is an ``OSError``."""

_SUCCESS = 0
_SIZE_LIMIT_EXCEEDED = 4
_START_TLS, _BIND, _SEARCH = 1, 2, 3

_Read = Callable[[int], Awaitable[bytes]]


@dataclass(frozen=True)
class Server:
    """A directory server; ``is_tls``: from the first byte (``ldaps``), otherwise after StartTLS."""

    host: str
    port: int
    is_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.is_tls else 'ldap'}://{host}:{self.port}"


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that trusts the authorities of this file (PEM), or the system's; raise ``UsageError`` if that fails."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise UsageError(f"{ca_file}: these authorities of the directory can't be read: {error}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@asynccontextmanager
async def connected(server: Server, context: ssl.SSLContext) -> AsyncIterator[LdapConnection]:
    """A connection to a server with a valid certificate; raises one of ``FAILURES``."""
    link = await _open_socket(server)
    try:
        if not server.is_tls:
            await _start_tls(link)
        reader, writer = await asyncio.open_connection(sock=link, ssl=context, server_hostname=server.host)
    except BaseException:
        link.close()
        raise
    try:
        yield LdapConnection(reader, writer)
    finally:
        writer.transport.abort()


class LdapConnection:
    """A connection to a server, in TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def bind(self, name: str, password: bytes) -> None:
        """Authenticate as ``name``; raises one of ``FAILURES``."""
        self._writer.write(ldap_messages.bind(_BIND, name, password))
        _check(await self._answer(_BIND), "bind")

    async def search(self, wanted: Search) -> list[LdapEntry]:
        """The entries found, at most ``wanted.size``; raises one of ``FAILURES``."""
        self._writer.write(ldap_messages.search(_SEARCH, wanted))
        entries: list[LdapEntry] = []
        for _ in range(MAX_ANSWERS):
            answer = await self._answer(_SEARCH)
            if isinstance(answer, LdapEntry):
                entries.append(answer)
            if len(entries) == wanted.size:
                return entries
            if isinstance(answer, Result):
                _check(answer, "search")
                return entries
        raise DirectoryError(f"it answers a search with more than {MAX_ANSWERS} messages")

    async def _answer(self, number: int) -> LdapAnswer:
        return await _receive(self._reader.readexactly, number)


async def _open_socket(server: Server) -> socket.socket:
    """A socket that is connected to the first of the server's addresses that accepts it."""
    loop = asyncio.get_running_loop()
    failure = OSError("it has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM):
        link = socket.socket(family, kind, protocol)
        link.setblocking(False)
        try:
            await loop.sock_connect(link, address)
        except OSError as error:
            failure = error
            link.close()
        except BaseException:
            link.close()
            raise
        else:
            return link
    raise failure


async def _start_tls(link: socket.socket) -> None:
    await asyncio.get_running_loop().sock_sendall(link, ldap_messages.start_tls(_START_TLS))

    async def read(size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await asyncio.get_running_loop().sock_recv(link, size - len(data))
            if not more:
                raise asyncio.IncompleteReadError(data, size)
            data += more
        return data

    _check(await _receive(read, _START_TLS), "extended")


async def _receive(read: _Read, number: int) -> LdapAnswer:
    """The next message, which has to answer request ``number``."""
    start = await read(2)
    start += await read(ldap_messages.length_of_length(start))
    return ldap_messages.decode(await read(ldap_messages.length_of_body(start)), number)


def _check(answer: LdapAnswer, operation: str) -> None:
    """Raise ``DirectoryError`` unless this answer ends the operation successfully."""
    if not isinstance(answer, Result) or answer.operation != operation:
        raise DirectoryError(f"it answers {operation} with an unexpected message")
    if answer.code != _SUCCESS:
        name = "StartTLS" if operation == "extended" else operation
        raise DirectoryError(f"it refuses {name} (LDAP code {answer.code}): {answer.text or 'no reason given'}")
