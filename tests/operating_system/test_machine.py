"""What this machine tells about itself, and the memory that a program keeps from others."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys

import pytest

from sra import __version__
from sra.system import machine, tcp
from sra.system.tcp import count_connections, count_established, parse_table

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1015 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:1015 0100007F:A001 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   2: 0100007F:A001 0100007F:1015 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   3: 0100007F:1015 0100007F:A002 06 00000000:00000000 00:00000000 00000000     0        0 1 1
   4: 0100007F:1015 0100007F:A003 01 00000000:00000000 00:00000000 00000000     0        0 1 1
"""


def test_what_listens_or_is_closing_is_no_connection() -> None:
    assert count_established(list(parse_table(TABLE.splitlines())), 4117) == 2
    assert count_established(list(parse_table(TABLE.splitlines())), 4116) == 0
    assert count_established([], 4117) == 0


def test_connections_of_this_machine_are_counted_at_their_own_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert count_connections(port) == 0
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            assert count_connections(port) == 1


def test_who_listens_at_a_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert tcp.listeners(server.getsockname()[1]) == [os.getuid()]
        port = server.getsockname()[1]
    assert tcp.listeners(port) == []
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


SHOWN = """
import ctypes, os, resource
from sra.system import machine
machine.keep_memory_private()
owner = os.stat("/proc/self/mem").st_uid
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE), owner)
"""


def test_there_is_no_core_and_no_debugger_of_the_same_user() -> None:
    shown = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True).stdout
    dumpable, soft, hard, owner = map(int, shown.split())
    assert (dumpable, soft, hard) == (0, 0, 0)
    assert owner == 0


PEEK = """
import os, subprocess, sys
os.setuid(65534)
program = "from sra.system import machine; %s; print('up', flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", program],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
try:
    os.close(os.open(f"/proc/{child.pid}/mem", os.O_RDONLY))
    print("read")
except OSError:
    print("kept out")
child.communicate("\\n")
"""


def test_another_program_of_the_user_can_not_read_its_memory() -> None:
    if os.geteuid() != 0:
        return_code = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, check=False).returncode
        assert return_code == 0
        return
    outcomes = [
        subprocess.run([sys.executable, "-c", PEEK % call], capture_output=True, text=True, check=True).stdout.strip()
        for call in ("machine", "machine.keep_memory_private()")
    ]
    assert outcomes == ["read", "kept out"]
