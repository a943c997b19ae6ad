"""What servers answer: LDAP, HTTP, and SSSD on the message bus."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import msgspec
from jeepney import MessageType
from jeepney.io.asyncio import DBusRouter

from fuzz.target import attempt, must, run, target
from sra.remote.accounts import ldap_messages, sssd_directory
from sra.remote.accounts.directory import DirectoryError
from sra.remote.accounts.ldap_messages import LdapEntry, LdapFormatError, Search
from sra.remote.revocation import fetch as fetching
from sra.remote.revocation.fetch import FetchError, FetchRequest, fetch

_LDAP_WORDS = (
    b"\x64",
    b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
    b"\x61",
    b"\x78",
    b"\x73",
    b"\x02\x01\x01",
    b"\x30\x84",
)


def _receive(data: bytes) -> ldap_messages.LdapAnswer | None:
    """The first message of a stream, read as ``LdapConnection`` reads it; ``None`` while it is incomplete."""
    if len(data) < 2:
        return None
    start = data[:2]
    start += data[2 : 2 + ldap_messages.length_of_length(start)]
    length = ldap_messages.length_of_body(start)
    must(0 <= length <= ldap_messages.MAX_MESSAGE, "a message is bounded")
    body = data[len(start) : len(start) + length]
    return ldap_messages.decode(body, 1) if len(body) == length else None


@target(max_len=8192, words=_LDAP_WORDS)
def fuzz_ldap(data: bytes) -> None:
    """A directory server's answer, with and without its header."""
    for body in (data, ldap_messages._message(1, data)):
        answer = attempt(LdapFormatError, _receive, body)
        if isinstance(answer, LdapEntry):
            held = sum(len(value) for values in answer.attributes.values() for value in values)
            must(held <= len(body) and answer.name.isprintable(), "an entry is what was sent")
    request = ldap_messages.search(7, Search("", ldap_messages.equal("uid", data), ("uid",), 2, 5))
    must(data in request, "a value is asked for as the bytes that it is")


class _Socket:
    """A server that has sent all that it will."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def getpeername(self) -> tuple[str, int]:
        return str(ipaddress.ip_address("192.0.2.1")), 80

    def settimeout(self, _: float) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        must(data.count(b"\r\n\r\n") <= 1, "a request is one request")

    def recv_into(self, buffer: memoryview) -> int:
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        pass


@target(
    max_len=8192,
    words=(
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: http://", b"Content-Length: ", b"\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n", b"ffffffff\r\n", b"https://", b"ldap://", b"HTTP/1.1 100 Continue\r\n\r\n",
    ),
)  # fmt: skip
def fuzz_http_answer(data: bytes) -> None:
    """A server of revocation lists that answers anything, to each of the questions that redirections make."""
    answers = data.split(b"\xff\xff\xff\xff")

    def connect(*_: object) -> Any:
        return _Socket(answers.pop(0) if answers else b"")

    def secured(plain: Any, *_: object) -> Any:
        return plain

    with mock.patch.object(fetching, "_connect", connect), mock.patch.object(fetching, "_secured", secured):
        body = attempt(FetchError, fetch, FetchRequest("http://lists.example/a.crl", 1000), 5.0)
    must(body is None or len(body) <= 1000, "an answer is no longer than was allowed")


@target(max_len=1024, words=(b"http://", b"https://", b"ldap://", b"[::1]", b"@", b":0"))
def fuzz_address_in_certificate(data: bytes) -> None:
    """The address of a revocation list, as a certificate has it."""
    attempt(FetchError, fetching._checked, data.decode(errors="replace"))
    attempt(FetchError, fetching._joined, "http://lists.example/a", data.decode(errors="replace"))


class _Router:
    """A message bus that answers each call with the next of these bodies."""

    def __init__(self, bodies: list[Any]) -> None:
        self._bodies = bodies

    async def send_and_get_reply(self, message: object) -> Any:
        body = self._bodies.pop(0) if self._bodies else []
        kind = MessageType.error if body == ["error"] else MessageType.method_return
        values = tuple(tuple(value) if isinstance(value, list) and value[:1] == ["s"] else value for value in body)
        return SimpleNamespace(header=SimpleNamespace(message_type=kind), body=values)


@target(max_len=2048, words=(b'[[["/u"]],[["s","ann"]]]', b'["error"]', b"null", b"[]"))
def fuzz_bus_reply(data: bytes) -> None:
    """SSSD's replies: bodies of any type, as JSON writes them."""
    bodies = attempt((ValueError, RecursionError), msgspec.json.decode, data)
    if isinstance(bodies, list) and all(isinstance(body, list) for body in bodies):
        router = cast("DBusRouter", _Router(bodies))
        accounts = attempt((DirectoryError, *sssd_directory._FAILURES), run, sssd_directory._accounts(router, "PEM"))
        must(accounts is None or all(isinstance(name, str) for name in accounts), "accounts are names")
