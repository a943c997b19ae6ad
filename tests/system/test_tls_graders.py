"""Graders of TLS flag nothing on the remote's ports but that nobody vouches for its identity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.hosts import Host, two_hosts
from lab.product import LOCAL_PORT, PORT
from tests.system.grading import SELF_SIGNED, by_sslyze, graded


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as (admin, remote), graded(remote):
        yield admin, remote


def test_sslyze_flags_nothing_else(admin: Host, remote: Host) -> None:
    for host, target in ((admin, f"{remote.address}:{PORT}"), (remote, f"127.0.0.1:{LOCAL_PORT}")):
        flagged, scans = by_sslyze(host, target)
        assert flagged == SELF_SIGNED
        assert {name for name, status in scans.items() if status == "ERROR"} == set()


@pytest.mark.parametrize("alpn", ["http/1.1", "h2,http/1.1", ""])
def test_what_speaks_another_protocol_gets_the_certificate_and_no_more(remote: Host, alpn: str) -> None:
    for port in (PORT, LOCAL_PORT):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *(("-alpn", alpn) if alpn else ())]
        said = remote.run([*command, "-ign_eof"], input="GET / HTTP/1.1\r\n\r\n", timeout=10, check=False).stdout
        assert "BEGIN CERTIFICATE" in said
        assert "No ALPN negotiated" in said
        assert "Server Temp Key: ECDH, prime256v1" in said
