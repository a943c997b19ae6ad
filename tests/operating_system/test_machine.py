import os
import pwd
import socket

import pytest

from sra import __version__
from sra.system import machine
from sra.system.machine import count_connections, count_established

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1015 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:1015 0100007F:A001 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   2: 0100007F:A001 0100007F:1015 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   3: 0100007F:1015 0100007F:A002 06 00000000:00000000 00:00000000 00000000     0        0 1 1
   4: 0100007F:1015 0100007F:A003 01 00000000:00000000 00:00000000 00000000     0        0 1 1
"""


def test_what_listens_or_is_closing_is_no_connection() -> None:
    assert count_established(TABLE.splitlines(), 4117) == 2
    assert count_established(TABLE.splitlines(), 4116) == 0
    assert count_established([], 4117) == 0


def test_connections_of_this_machine_are_counted_at_their_own_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert count_connections(port) == 0
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            assert count_connections(port) == 1


def test_who_listens_at_a_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert machine.listeners(server.getsockname()[1]) == [os.getuid()]
        port = server.getsockname()[1]
    assert machine.listeners(port) == []
    assert machine.user(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
    assert machine.user(4_000_000_000) == "user 4000000000"


def test_the_versions_of_what_runs_here_are_told() -> None:
    versions = machine.versions()
    assert versions["sra"] == __version__
    assert set(versions) == {"sra", "Python", "OpenSSL", "OpenSC", "pcscd"}
    assert all(version[0].isdigit() for version in versions.values())


def test_a_program_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert set(machine.versions()) == {"sra", "Python", "OpenSSL"}
