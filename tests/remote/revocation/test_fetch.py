import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from sra.remote.revocation import fetch as module
from sra.remote.revocation.fetch import FetchError, FetchRequest, fetch
from tests.chains import key, named
from tests.remote.revocation.servers import Handler, Server, content, drip, raw, redirection, serving

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def refused(address: str, words: str, limit: int = 100, timeout: float = 5.0) -> None:
    with pytest.raises(FetchError, match=words):
        fetch(FetchRequest(address, limit), timeout)


def test_a_body_comes_whole_up_to_its_limit(server: Server) -> None:
    server.replies["/list?part=1"] = content(b"x" * 100)
    assert fetch(FetchRequest(server.url("/list?part=1#fragment"), 100), 5) == b"x" * 100
    refused(server.url("/list?part=1"), "more than 99 bytes", 99)


def test_an_address_without_a_path_asks_for_the_root(server: Server) -> None:
    server.replies["/"] = content(b"root")
    assert fetch(FetchRequest(server.url(""), 100), 5) == b"root"


def test_a_body_may_come_in_chunks_or_without_a_length(server: Server) -> None:
    server.replies["/chunks"] = raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    server.replies["/open"] = raw(b"HTTP/1.0 200 OK\r\n\r\nabcde")
    for path in ("/chunks", "/open"):
        assert fetch(FetchRequest(server.url(path), 5), 5) == b"abcde"
        refused(server.url(path), "more than 4 bytes", 4)


def test_a_question_is_posted_with_its_kind(server: Server) -> None:
    seen: list[tuple[bytes, str | None]] = []

    def reply(handler: Handler, body: bytes) -> None:
        seen.append((body, handler.headers["Content-Type"]))
        content(b"answer")(handler, body)

    server.replies["/ocsp"] = reply
    assert fetch(FetchRequest(server.url("/ocsp"), 100, b"question", "application/ocsp-request"), 5) == b"answer"
    assert seen == [(b"question", "application/ocsp-request")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_are_followed_three_times(server: Server, status: int) -> None:
    server.replies["/0"] = content(b"here")
    for step in range(1, 5):
        server.replies[f"/{step}"] = redirection(f"/{step - 1}" if step % 2 else server.url(f"/{step - 1}"), status)
    assert fetch(FetchRequest(server.url("/3"), 100), 5) == b"here"
    refused(server.url("/4"), "redirects more than 3 times")


def test_a_loop_of_redirections_ends(server: Server) -> None:
    server.replies["/loop"] = redirection("/loop")
    refused(server.url("/loop"), "redirects more than 3 times")
    assert len(server.asked) == 4


def test_a_posted_question_follows_no_redirection(server: Server) -> None:
    server.replies["/ocsp"] = redirection("/elsewhere", 307)
    with pytest.raises(FetchError, match="HTTP status 307"):
        fetch(FetchRequest(server.url("/ocsp"), 100, b"question", "x"), 5)
    assert server.asked == ["/ocsp"]


def test_a_redirection_from_elsewhere_never_leads_to_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name stands for a server on the network: both are the loopback address here, but only one says so.
    server.replies["/start"] = redirection(server.url("/secret"))
    server.replies["/secret"] = content(b"of this machine")
    real = socket.getaddrinfo

    def resolve(host: str, *rest: object, **named: object) -> object:
        return real("127.0.0.1" if host == "lists.example" else host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    refused(f"http://lists.example:{server.server_port}/start", "leads to this machine")
    assert server.asked == ["/start"]
    server.replies["/start"] = redirection("http://0.0.0.0:1/")
    refused(f"http://lists.example:{server.server_port}/start", "leads to this machine|can't be asked")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("file:///etc/passwd", "neither http nor https"),
        ("ftp://lists.example/a.crl", "neither http nor https"),
        ("gopher://lists.example/", "neither http nor https"),
        ("ldap://directory.example/cn=CA?certificateRevocationList", "LDAP"),
        ("ldaps://directory.example/cn=CA", "LDAP"),
        ("", "neither http nor https"),
        ("lists.example/a.crl", "neither http nor https"),
        ("http://", "not an address"),
        ("http:///path", "not an address"),
        ("http://user:password@lists.example/", "not an address"),
        ("http://lists.example:0/", "not an address"),
        ("http://lists.example:99999/", "not an address"),
        ("http://lists.example/\r\nHost: other", "not an address"),
        ("http://lists.example/" + "x" * 3000, "not an address"),
        ("http://[::1/", "not an address"),
    ],
)
def test_only_plain_web_addresses_are_asked(address: str, words: str) -> None:
    refused(address, words)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ldap://x/", "", "http://user@127.0.0.1/", "//[", "ftp:x"])
def test_a_redirection_to_anything_else_is_not_followed(server: Server, target: str) -> None:
    server.replies["/start"] = redirection(target)
    refused(server.url("/start"), "not an address|neither http|LDAP|redirects more")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        HEAD + b"Content-Length: 10\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n",
        HEAD + b"x: y\r\n" * 200 + b"\r\n",
    ],
    ids=["nothing", "rubbish", "no status", "not found", "no content", "cut", "chunk", "cut chunk", "long", "many"],
)
def test_what_is_no_whole_answer_is_refused(server: Server, data: bytes) -> None:
    server.replies["/bad"] = raw(data)
    refused(server.url("/bad"), "127.0.0.1:")


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"", b""),
        (b"", b"H"),
        (HEAD, b"x"),
        (HEAD, b"x: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (HEAD + b"\r\n", b"x"),
        (HEAD + b"Content-Length: 1000\r\n\r\n", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["silence", "status", "a header", "headers", "continue", "body", "length", "chunks"],
)
def test_a_server_that_drips_gains_no_time(server: Server, before: bytes, piece: bytes) -> None:
    server.replies["/slow"] = drip(before, piece)
    start = time.monotonic()
    refused(server.url("/slow"), "no answer in time|127.0.0.1:", 10_000, 0.4)
    assert time.monotonic() - start < 2


def test_an_endless_body_is_cut_off_at_the_limit(server: Server) -> None:
    server.replies["/endless"] = drip(b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 1_000_000)
    refused(server.url("/endless"), "more than 3000000 bytes", 3_000_000)


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    refused(f"http://127.0.0.1:{port}/", f"127.0.0.1:{port} can't be asked: Connection refused")
    refused("http://no-such-host.invalid/", "no-such-host.invalid can't be asked")


def test_a_server_that_takes_no_connection_costs_no_more_than_the_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        start = time.monotonic()
        refused(f"http://127.0.0.1:{full.getsockname()[1]}/", "no answer in time", timeout=0.4)
        assert time.monotonic() - start < 2
        for each in waiting:
            each.close()


def test_https_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(named("localhost"), named("localhost"), key("Web").public_key(), 1)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = builder.add_extension(names, critical=False).sign(key("Web"), SHA256())
    (tmp_path / "pem").write_bytes(
        key("Web").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    with Server({"/": content(b"secret")}) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            address = f"https://localhost:{server.server_port}/"
            refused(address, "certificate verify failed|can't be asked")
            trusting = ssl.create_default_context(cafile=str(tmp_path / "pem"))
            monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
            assert fetch(FetchRequest(address, 100), 5) == b"secret"
        finally:
            server.shutdown()
            thread.join()


@given(st.text(max_size=60) | st.from_regex(r"https?://[^a-z]{0,20}", fullmatch=True))
def test_nothing_but_a_refusal_comes_of_any_address(address: str) -> None:
    try:
        module._checked(address)
    except FetchError as error:
        assert str(error).isprintable()  # noqa: PT017 - both outcomes are right
