"""One HTTP question to an untrusted server: bounded in bytes, redirections and seconds. Blocks.

The addresses come from certificates whose path was verified, but the connection is not encrypted, so any server may
answer. So a redirection to this machine or to its link-local network is not followed, unless the question began there.
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
"""Characters of an address: real ones are much shorter."""

MAX_ADDRESSES = 4
"""Addresses of one host that are tried."""

_PIECE = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_FOUND_ELSEWHERE = {301, 302, 303, 307, 308}


class FetchError(EvidenceError):
    """The server can't be reached, or its answer can't be used."""


@dataclass(frozen=True)
class FetchRequest:
    """The question: GET, or POST with a ``body`` of this ``kind``. The answer has at most ``limit`` bytes."""

    address: str
    limit: int
    body: bytes | None = None
    kind: str = ""


def fetch(question: FetchRequest, timeout: float) -> bytes:
    """The answer's body; raise ``FetchError`` if there is none after ``timeout`` seconds in total.

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
class _Redirection:
    address: str


def _checked(address: str) -> SplitResult:
    """The address, if it may be asked: HTTP or HTTPS, with a host, without a user or a password."""
    shown = clean(address, 100)
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise FetchError(f"“{shown}” is not an address") from error
    if parts.scheme.startswith("ldap"):
        raise FetchError(f"“{shown}” is a directory (LDAP), which is not asked")
    if parts.scheme not in _PORTS:
        raise FetchError(f"“{shown}” is neither http nor https, so it is not asked")
    if not host or port == 0 or parts.username is not None or len(address) > MAX_ADDRESS or not address.isprintable():
        raise FetchError(f"“{shown}” is not an address that is asked")
    return parts


def _joined(address: str, redirection: str) -> str:
    """The address to which a redirection from ``address`` leads."""
    try:
        return urljoin(address, redirection)
    except ValueError as error:
        raise FetchError(f"“{clean(redirection, 100)}” is not an address") from error


def _ask(question: FetchRequest, target: SplitResult, deadline: float, *, is_elsewhere: bool) -> bytes | _Redirection:
    """The body, or the redirection; raise ``FetchError`` or an error of ``http.client``."""
    host, port = target.hostname or "", target.port or _PORTS[target.scheme]
    with contextlib.closing(_connect(host, port, deadline)) as plain:
        _check_peer(plain, host, is_elsewhere=is_elsewhere)
        with contextlib.closing(_secured(plain, target, deadline)) as secured:
            connection = http.client.HTTPConnection(host, port)
            connection.sock = _Connection(secured, deadline)
            path = target._replace(scheme="", netloc="", fragment="", path=target.path or "/").geturl()
            headers = {"Content-Type": question.kind} if question.body is not None else {}
            headers |= {"Connection": "close", "User-Agent": "srad"}
            connection.request("GET" if question.body is None else "POST", path, question.body, headers)
            return _read(connection.getresponse(), question, target)


def _read(response: http.client.HTTPResponse, question: FetchRequest, target: SplitResult) -> bytes | _Redirection:
    if question.body is None and response.status in _FOUND_ELSEWHERE:
        return _Redirection(response.getheader("Location") or "")
    if response.status != http.client.OK:
        raise FetchError(f"{_host(target)} answers with HTTP status {response.status}")
    body = bytearray()
    while piece := response.read(_PIECE):
        body += piece
        if len(body) > question.limit:
            raise FetchError(f"{_host(target)} sends more than {question.limit} bytes")
    if response.length:
        raise FetchError(f"{_host(target)} sends less than it has announced")
    return bytes(body)


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """A connection to the first of the host's addresses that accepts one; each may use half of the remaining time.

    Only the resolver limits the time for the name's resolution; the caller has to stop waiting by itself.
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
    """A socket whose every operation ends at the deadline, so a server that sends byte by byte gains no time."""

    def __init__(self, plain: socket.socket, deadline: float) -> None:
        self._plain = plain
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._plain.settimeout(_left(self._deadline))
        self._plain.sendall(data)

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._plain, self._deadline))

    def close(self) -> None:
        """Do nothing: ``http.client`` closes its socket while it still reads from it; ``_ask`` closes it in the end."""


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
    """Seconds until the deadline; raise ``TimeoutError`` if it has passed."""
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
