"""The TCP connections of this machine, as its kernel lists them: how many there are, and whose."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""The sockets of this network (proc_pid_net(5)): addresses in hexadecimal, and the user of each."""
_ESTABLISHED, _LISTENING = "01", "0A"
"""TCP_ESTABLISHED and TCP_LISTEN there."""
_LOOPBACK = "0100007F"
_MAPPED = f"0000000000000000FFFF0000{_LOOPBACK}"
"""127.0.0.1, as a little-endian machine writes it there; and the same of a socket for IPv6."""

_LSOF = "/usr/sbin/lsof"
"""macOS, lsof(8). To a user other than root it shows the sockets of that user's processes only."""
_LSOF_SECONDS = 5.0

_NETLINK_HEADER = struct.Struct("=IHHII")
"""netlink(7): length, type, flags, sequence, port."""
_SOCKET = struct.Struct(">HH4s12x4s12xIQ")
"""sock_diag(7) inet_diag_sockid: ports and addresses of both ends, the interface, a cookie (all ones: any)."""
_REQUEST = struct.Struct("=BBBBI")
"""sock_diag(7) inet_diag_req_v2, up to its socket: family, protocol, extensions, states."""
_FOUND = struct.Struct("=4x48s12xII")
"""sock_diag(7) inet_diag_msg: the socket, its user and its inode."""
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_ANY_COOKIE = 2**64 - 1
_ANSWER_TIME = 1.0
"""Seconds; the kernel answers before ``send`` returns."""


@dataclass(frozen=True)
class TcpSocket:
    """A row of the kernel's table. The ends are ``ADDRESS:PORT`` in hexadecimal, as they stand there."""

    local: str
    remote: str
    state: str
    user: int
    inode: str

    def is_at(self, port: int) -> bool:
        """Whether its own end has this port."""
        return self.local.endswith(f":{port:04X}")


def parse_table(lines: Iterable[str]) -> Iterator[TcpSocket]:
    """The sockets in a table of the kernel's; its heading is passed over."""
    for fields in map(str.split, lines):
        if len(fields) > 9 and fields[7].isdecimal():
            yield TcpSocket(fields[1], fields[2], fields[3], int(fields[7]), fields[9])


def _sockets() -> list[TcpSocket] | None:
    """Every TCP socket of this network; ``None`` where the kernel has no such table."""
    tables = [table for table in _TABLES if table.exists()]
    return [each for table in tables for each in parse_table(table.read_text().splitlines())] if tables else None


def count_connections(port: int) -> int | None:
    """How many TCP connections to this port of this machine there are now; ``None`` where that can't be told."""
    found = _sockets()
    return None if found is None else count_established(found, port)


def count_established(sockets: Iterable[TcpSocket], port: int) -> int:
    """The connections among them whose own end is at this port."""
    return sum(each.is_at(port) and each.state == _ESTABLISHED for each in sockets)


def listeners(port: int) -> list[int]:
    """The users (by number) whose programs listen at this TCP port of this machine, as far as that can be told."""
    return sorted({each.user for each in _sockets() or () if each.is_at(port) and each.state == _LISTENING})


def tcp_user(port: int, to_port: int) -> int | None:
    """The user of the socket of 127.0.0.1 with this port that is connected to ``to_port`` there; ``None`` if unknown.

    Raises ``OSError`` where the system's table can't be read.
    """
    if sys.platform == "linux":
        user = loopback_user_linux(port, to_port)  # not found by a kernel without that module, or in a container
        return _tcp_user_by_table(port, to_port) if user is None else user
    if sys.platform == "darwin":
        return _tcp_user_macos(port, to_port)
    return None


def _tcp_user_by_table(port: int, to_port: int) -> int | None:
    ends = [{f"{address}:{number:04X}" for address in (_LOOPBACK, _MAPPED)} for number in (port, to_port)]
    found = (each for each in _sockets() or () if each.local in ends[0] and each.remote in ends[1])
    # One that its process has closed has no inode, and says that it is root's.
    return next((each.user for each in found if each.inode != "0"), None)


def loopback_user_linux(port: int, to_port: int) -> int | None:
    """``tcp_user`` by sock_diag(7); ``None`` also where the kernel can't be asked so.

    The kernel looks for this one socket. Its table in /proc takes it 30 ms to write, which a flood would make it do.
    """
    loopback = socket.inet_aton("127.0.0.1")
    wanted = _SOCKET.pack(port, to_port, loopback, loopback, 0, _ANY_COOKIE)
    request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + wanted
    header = _NETLINK_HEADER.pack(_NETLINK_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(_ANSWER_TIME)
            kernel.send(header + request)
            answer = kernel.recv(4096)
    except (OSError, AttributeError):  # not allowed, or not Linux
        return None
    if len(answer) < _NETLINK_HEADER.size + _FOUND.size:
        return None
    kind = _NETLINK_HEADER.unpack_from(answer)[1]
    found, user, inode = _FOUND.unpack_from(answer, _NETLINK_HEADER.size)
    # One that its process has closed has no inode, and says that it is root's.
    is_it = kind == _SOCK_DIAG_BY_FAMILY and found[:4] == wanted[:4] and inode != 0
    return int(user) if is_it else None


def _tcp_user_macos(port: int, to_port: int) -> int | None:
    """Not yet run on a Mac. Only this user's sockets are asked for, so that any other is unknown."""
    user = str(os.geteuid())
    command = [_LSOF, "-nP", "-a", "-u", user, f"-iTCP@127.0.0.1:{port}", "-sTCP:ESTABLISHED", "-FuPn"]
    try:
        listed = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LSOF_SECONDS, check=False,
        ).stdout  # fmt: skip
    except (subprocess.SubprocessError, ValueError) as error:
        raise OSError(errno.ENOTSUP, "lsof does not say whose the connection is") from error
    users = re.findall(r"(?m)^u([0-9]+)$", listed)
    ends = re.findall(r"(?m)^n(\S+)$", listed)
    is_there = f"127.0.0.1:{port}->127.0.0.1:{to_port}" in ends
    return os.geteuid() if is_there and set(users) == {user} else None
