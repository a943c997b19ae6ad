import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from sra.errors import LinkError, RefusalCode, RefusedError
from sra.transport import probe as handshakes
from tests.cli.remote_in_thread import RemoteInThread, remote_in_thread
from tests.loopback import HOST, identity


@pytest.fixture
def running() -> Iterator[RemoteInThread]:
    with remote_in_thread() as remote:
        yield remote


@pytest.fixture
def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def rude() -> Iterator[int]:
    """The port of something that speaks no TLS."""
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join()


def refusal(port: int) -> RefusedError:
    return asyncio.run(handshakes.refusal(HOST, port))


def test_both_ports_show_the_remote_s_identity(running: RemoteInThread) -> None:
    for port in (running.remote.port, running.remote.local_port):
        assert handshakes.tcp(HOST, port) == HOST
        assert handshakes.tls(HOST, port) == ("TLSv1.3", identity().certificate)


def test_a_remote_that_is_in_order_refuses_only_the_certificate_that_is_none(running: RemoteInThread) -> None:
    assert refusal(running.remote.port).code is RefusalCode.CERTIFICATE
    assert running.remote.accounts.asked == []


def test_a_remote_without_a_license_says_so(running: RemoteInThread) -> None:
    running.remote.refusal = RefusedError(RefusalCode.LICENSE, "remote has no license.")
    answer = refusal(running.remote.port)
    assert (answer.code, answer.text) == (RefusalCode.LICENSE, "remote has no license.")


def test_where_nothing_listens_it_is_said_so(free_port: int) -> None:
    for ask in (handshakes.tcp, handshakes.tls):
        with pytest.raises(LinkError, match=f"{HOST} port {free_port} can't be reached: Connection refused"):
            ask(HOST, free_port)
    with pytest.raises(LinkError):
        refusal(free_port)


def test_a_name_that_does_not_exist_is_said_so() -> None:
    with pytest.raises(LinkError, match=r"nowhere\.invalid port 4116 can't be reached"):
        handshakes.tcp("nowhere.invalid", 4116)


def test_what_speaks_no_tls_is_said_so(rude: int) -> None:
    with pytest.raises(LinkError, match=r"not with TLS 1\.3"):
        handshakes.tls(HOST, rude)


def test_what_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "DEADLINE", 0.1)
    with socket.create_server((HOST, 0)) as silent:
        port = int(silent.getsockname()[1])
        assert handshakes.tcp(HOST, port) == HOST
        with pytest.raises(LinkError, match="does not answer"):
            handshakes.tls(HOST, port)
