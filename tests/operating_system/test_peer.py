"""Which user is at the other end of a local connection, and that nobody is taken for us where that can't be told."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sra.system import peer, tcp
from sra.system.peer import is_ours, is_ours_by_tcp, is_ours_or_roots, peer_user
from sra.system.tcp import tcp_user

SOURCES = Path(__file__).resolve().parents[2] / "src"


def test_the_user_at_the_other_end_is_told() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_user(ours) == os.getuid()
        assert is_ours(ours)
        assert is_ours_or_roots(ours)


def test_a_service_is_root_s_or_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, trusted in ((0, True), (os.geteuid(), True), (os.geteuid() + 1, False)):
        monkeypatch.setattr(peer, "peer_user", lambda _, user=user: user)
        with socket.socket() as any_socket:
            assert is_ours_or_roots(any_socket) is trusted


def test_a_closed_socket_has_no_user() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        peer_user(ours)
    assert not is_ours(ours)


@pytest.mark.parametrize("platform", ["plan9", "freebsd14", "win32", "cygwin", ""])
def test_on_an_unknown_system_nobody_is_taken_for_us(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not is_ours(ours)
        with pytest.raises(OSError, match="not known to tell"):
            peer_user(ours)
    with loopback() as (accepted, _):
        assert not is_ours_by_tcp(accepted)


def test_a_python_without_the_option_takes_nobody_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not is_ours(ours)


def test_a_socket_of_which_the_kernel_knows_no_user_is_not_ours() -> None:
    with loopback() as (accepted, _), pytest.raises(OSError, match="no user"):
        peer_user(accepted)


class Answering:
    """A socket whose system says just this of its peer."""

    def __init__(self, found: bytes) -> None:
        self.found = found

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (0, 1, 76)
        return self.found


def xucred(version: int, user: int) -> bytes:
    """``struct xucred`` of macOS (sys/ucred.h)."""
    return struct.pack("=IIhxx16I", version, user, 1, *([20] * 16))


def test_a_mac_is_asked_as_its_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(socket, "SO_PEERCRED")
    user = os.geteuid()
    assert len(xucred(0, user)) == 76
    for found, ours in (
        (xucred(0, user), True),
        (xucred(0, user + 1), False),
        (xucred(1, user), False),
        (b"", False),
        (xucred(0, user)[:6], False),
    ):
        assert is_ours(Answering(found)) is ours  # type: ignore[arg-type]


class loopback:  # noqa: N801 - used like a function
    """A TCP connection on 127.0.0.1: its accepted end and the other."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.client = socket.socket(family)
        host = "127.0.0.1" if family is socket.AF_INET else "::ffff:127.0.0.1"
        self.client.connect((host, self.listening.getsockname()[1]))
        self.accepted, _ = self.listening.accept()

    def __enter__(self) -> tuple[socket.socket, socket.socket]:
        return self.accepted, self.client

    def __exit__(self, *_: object) -> None:
        for each in (self.accepted, self.client, self.listening):
            each.close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_user_of_a_connection_by_tcp_is_found(family: socket.AddressFamily) -> None:
    with loopback(family) as (accepted, client):
        assert is_ours_by_tcp(accepted)
        port, to_port = client.getsockname()[1], accepted.getsockname()[1]
        assert tcp_user(port, to_port) == os.geteuid()
        assert tcp_user(port, to_port ^ 1) is None
        assert tcp_user(port ^ 1, to_port) is None


def test_the_table_which_takes_the_kernel_long_to_write_is_not_read_where_the_kernel_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = tmp_path / "tcp"
    unreadable.mkdir()
    monkeypatch.setattr(tcp, "_TABLES", (unreadable,))
    monkeypatch.setattr(tcp, "loopback_user_linux", lambda *_: 1001)
    assert tcp_user(1, 2) == 1001
    monkeypatch.setattr(tcp, "loopback_user_linux", lambda *_: None)
    with pytest.raises(IsADirectoryError):
        tcp_user(1, 2)


def test_another_users_row_is_read_as_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n"
        "   1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 222 1\n"
        "   2: 0200007F:D432 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1002        0 333 1\n"
        "   3: 0100007F:D433 0100007F:1F90 06 00000000:00000000 00:00000000 00000000     0        0 0 1\n"
    )
    monkeypatch.setattr(tcp, "_TABLES", (table,))
    assert tcp_user(0xD431, 0x1F90) == 1001
    assert tcp_user(0xD432, 0x1F90) is None
    assert tcp_user(0xD433, 0x1F90) is None


def test_where_neither_the_kernel_nor_a_table_tells_nobody_is_taken_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_TABLES", (tmp_path / "nothing",))
    monkeypatch.setattr(tcp, "loopback_user_linux", lambda *_: None)
    with loopback() as (accepted, _):
        assert not is_ours_by_tcp(accepted)


@pytest.mark.parametrize(
    ("listed", "ours"),
    [
        ("p501\nu{uid}\nf7\nPTCP\nn127.0.0.1:{port}->127.0.0.1:{to}\n", True),
        ("p501\nu{uid}\nf7\nPTCP\nn127.0.0.1:{port}->127.0.0.1:1\n", False),
        ("p501\nu{other}\nf7\nPTCP\nn127.0.0.1:{port}->127.0.0.1:{to}\n", False),
        ("p501\nf7\nPTCP\nn127.0.0.1:{port}->127.0.0.1:{to}\n", False),
        ("n127.0.0.1:{port}->127.0.0.1:{to}:x\n", False),
        ("", False),
        (None, False),
    ],
)
def test_on_a_mac_lsof_has_to_show_the_connection_as_ours(
    listed: str | None, ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback() as (accepted, client):
        facts = {"port": client.getsockname()[1], "to": accepted.getsockname()[1]}
        program = tmp_path / "lsof"
        if listed is not None:
            said = listed.format(uid=os.geteuid(), other=os.geteuid() + 1, **facts)
            program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}END\n")
            program.chmod(0o755)
        monkeypatch.setattr(tcp, "_LSOF", str(program))
        monkeypatch.setattr(sys, "platform", "darwin")
        assert is_ours_by_tcp(accepted) is ours


def test_who_is_there_is_asked_in_one_place_only() -> None:
    found = subprocess.run(
        ["grep", "-rlE", r"SO_PEERCRED|LOCAL_PEERCRED|/proc/net/tcp|getpeereid", str(SOURCES), "--include=*.py"],
        capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    telling = {Path(path).relative_to(SOURCES).as_posix() for path in found}
    code = {name for name in telling if re.search(r"^[^\"#]*(getsockopt|hasattr\(socket)", _text(name), re.MULTILINE)}
    assert code == {"sra/system/peer.py"}
    hidden = subprocess.run(
        ["grep", "-rlE", r"hasattr\(socket", str(SOURCES)], capture_output=True, text=True, check=False
    ).stdout
    assert hidden == ""


def _text(name: str) -> str:
    return (SOURCES / name).read_text()
