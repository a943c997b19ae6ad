"""One HTTP question to a server that nobody trusts: bounded in bytes, redirections and seconds. For a thread.

The addresses come from certificates whose path was verified, but what they lead to is not encrypted and can be anybody.
So a redirection never leads to this machine or to what only its link reaches, unless it was asked there to begin with.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from sra.identity.revocation import EvidenceError
from sra.logs import clean

MAX_REDIRECTIONS = 3

MAX_ADDRESS = 2048
"""Characters of an address: longer ones exist for nobody's good."""

MAX_ADDRESSES = 4
"""Of one host: those that are tried."""

_PIECE = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_FOUND_ELSEWHERE = {301, 302, 303, 307, 308}


class FetchError(EvidenceError):
    """The server can't be reached, or its answer can't be used."""


@dataclass(frozen=True)
class FetchRequest:
    """What to ask: GET, or POST where there is a ``body`` of this ``kind``. The answer has at most ``limit`` bytes."""

    address: str
    limit: int
    body: bytes | None = None
    kind: str = ""


def fetch(question: FetchRequest, timeout: float) -> bytes:
    """The answer's body; raise ``FetchError`` if there is none after ``timeout`` seconds, all in all.

    Only GET follows redirections.
    """
    deadline = time.monotonic() + timeout
    address, start = question.address, _checked(question.address)
    for _ in range(MAX_REDIRECTIONS + 1):
        target = _checked(address)
        try:
            answer = _ask(question, target, deadline, is_elsewhere=target.hostname != start.hostname)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchError(f"{_host(target)} can't be asked: {_reason(error)}") from error
        if isinstance(answer, bytes):
            return answer
        address = _joined(address, answer.address)
    raise FetchError(f"{_host(start)} redirects more than {MAX_REDIRECTIONS} times")


@dataclass(frozen=True)
class _Elsewhere:
    address: str


def _checked(address: str) -> SplitResult:
    """The address, if it is one that is asked: HTTP or HTTPS, with a host, without a user or a password."""
    shown = clean(address, 100)
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise FetchError(f"“{shown}” is not an address") from error
    if parts.scheme.startswith("ldap"):
        raise FetchError(f"“{shown}” is a directory (LDAP), and those are not asked")
    if parts.scheme not in _PORTS:
        raise FetchError(f"“{shown}” is neither http nor https, and nothing else is asked")
    if not host or port == 0 or parts.username is not None or len(address) > MAX_ADDRESS or not address.isprintable():
        raise FetchError(f"“{shown}” is not an address that is asked")
    return parts


def _joined(address: str, elsewhere: str) -> str:
    """Where a redirection leads from there."""
    try:
        return urljoin(address, elsewhere)
    except ValueError as error:
        raise FetchError(f"“{clean(elsewhere, 100)}” is not an address") from error


def _ask(question: FetchRequest, target: SplitResult, deadline: float, *, is_elsewhere: bool) -> bytes | _Elsewhere:
    """The body, or where else to ask; raise ``FetchError`` or what ``http.client`` raises."""
    host, port = target.hostname or "", target.port or _PORTS[target.scheme]
    with contextlib.closing(_connect(host, port, deadline)) as plain:
        _check_peer(plain, host, is_elsewhere=is_elsewhere)
        with contextlib.closing(_secured(plain, target, deadline)) as secured:
            connection = http.client.HTTPConnection(host, port)
            connection.sock = _Connection(secured, deadline)
            _send(connection, question, target)
            return _read(connection.getresponse(), question, target)


def _send(connection: http.client.HTTPConnection, question: FetchRequest, target: SplitResult) -> None:
    path = target._replace(scheme="", netloc="", fragment="", path=target.path or "/").geturl()
    headers = {"Content-Type": question.kind} if question.body is not None else {}
    headers |= {"Connection": "close", "User-Agent": "srad"}
    connection.request("GET" if question.body is None else "POST", path, question.body, headers)


def _read(response: http.client.HTTPResponse, question: FetchRequest, target: SplitResult) -> bytes | _Elsewhere:
    if question.body is None and response.status in _FOUND_ELSEWHERE:
        return _Elsewhere(response.getheader("Location") or "")
    if response.status != http.client.OK:
        raise FetchError(f"{_host(target)} answers with HTTP status {response.status}")
    body = bytearray()
    while piece := response.read(_PIECE):
        body += piece
        if len(body) > question.limit:
            raise FetchError(f"{_host(target)} sends more than {question.limit} bytes")
    if response.length:
        raise FetchError(f"{_host(target)} sends less than it announced")
    return bytes(body)


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """A connection to the first of the host's addresses that takes one; each is given half of the time that is left.

    The name's resolution is bounded by the resolver alone; whoever waits for this has to stop waiting by itself.
    """
    failure: OSError = OSError("the host has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:MAX_ADDRESSES]:
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(_left(deadline) / 2)
            plain.connect(address)
        except OSError as error:
            plain.close()
            failure = error
        else:
            return plain
    raise failure


def _check_peer(plain: socket.socket, host: str, *, is_elsewhere: bool) -> None:
    peer = ipaddress.ip_address(plain.getpeername()[0].partition("%")[0])
    peer = getattr(peer, "ipv4_mapped", None) or peer
    if is_elsewhere and (peer.is_loopback or peer.is_link_local or peer.is_unspecified):
        raise FetchError(f"a redirection to {host} leads to this machine or its link, and is not followed")


def _secured(plain: socket.socket, target: SplitResult, deadline: float) -> socket.socket:
    plain.settimeout(_left(deadline))
    if target.scheme == "http":
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=target.hostname)


class _Connection:
    """A socket whose every operation ends with the deadline: a server that drips bytes gains no time by it."""

    def __init__(self, plain: socket.socket, deadline: float) -> None:
        self._plain = plain
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._plain.settimeout(_left(self._deadline))
        self._plain.sendall(data)

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._plain, self._deadline))

    def close(self) -> None:
        """Leave it open: ``http.client`` closes what it goes on reading from; ``_ask`` closes it in the end."""


class _Reader(io.RawIOBase):
    def __init__(self, plain: socket.socket, deadline: float) -> None:
        self._plain = plain
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._plain.settimeout(_left(self._deadline))
        return self._plain.recv_into(buffer)


def _left(deadline: float) -> float:
    """Seconds until the deadline; raise ``TimeoutError`` if it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _host(target: SplitResult) -> str:
    return clean(target.netloc, 100)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return clean(error.strerror or str(error), 100)
    return f"not HTTP ({type(error).__name__})"
