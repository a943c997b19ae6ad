"""Which user is at the other end of a local connection, as the kernel says.

Every local socket that is accepted, or connected to, is checked here and nowhere else. Where the system does not say
who is there, the answer is an error, never "this user": modes of a folder or a password are a second lock, and no
reason to leave the first one open.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

_UCRED = struct.Struct("=iII")
"""Linux, unix(7) SO_PEERCRED: process, user, group."""
_NO_USER = 2**32 - 1
"""What Linux says of the user where there is none, as of a socket that is no UNIX socket."""

_XUCRED = struct.Struct("=II")
"""macOS, sys/ucred.h: the version of the structure and the user, then groups."""
_XUCRED_SIZE = 76
_XUCRED_VERSION = 0
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""The sockets of this network (proc(5)): addresses in hexadecimal, and the user of each."""
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


def peer_user(connection: socket.socket) -> int:
    """The user ID of the process that connected, or that listens; raise ``OSError`` if the system doesn't tell."""
    if sys.platform == "linux":
        return peer_process_linux(connection)[1]
    if sys.platform == "darwin":
        return _peer_user_macos(connection)
    raise OSError(errno.ENOTSUP, f"{sys.platform} is not known to tell who is at the other end of a socket")


def is_ours(connection: socket.socket) -> bool:
    """Whether a process of this very user is at the other end of a UNIX socket; not, where that can't be told."""
    try:
        return peer_user(connection) == os.geteuid()
    except OSError:
        return False


def is_ours_or_roots(connection: socket.socket) -> bool:
    """Whether it is a process of this user or of root: for a service of this machine that is asked for something."""
    try:
        return peer_user(connection) in {0, os.geteuid()}
    except OSError:
        return False


def is_ours_by_tcp(connection: socket.socket) -> bool:
    """The same of a connection that came in on 127.0.0.1."""
    try:
        return tcp_user(connection.getpeername()[1], connection.getsockname()[1]) == os.geteuid()
    except OSError:
        return False


def peer_process_linux(connection: socket.socket) -> tuple[int, int]:
    """The process that is there, or that listens there, and its user's ID; raise ``OSError`` if there is none."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        raise OSError(errno.ENOTSUP, "this Python can't ask who is at the other end of a socket")
    found = connection.getsockopt(socket.SOL_SOCKET, option, _UCRED.size)
    if len(found) != _UCRED.size:
        raise OSError(errno.EPROTO, "the system describes the peer in an unknown way")
    process, user, _ = _UCRED.unpack(found)
    if user == _NO_USER:
        raise OSError(errno.ENOTCONN, "the system knows of no user at the other end")
    return process, user


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


def _tcp_user_by_table(port: int, to_port: int) -> int | None:
    for table in filter(Path.exists, _TABLES):
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            is_it = _is_loopback(fields[1], port) and _is_loopback(fields[2], to_port)
            if is_it and fields[9] != "0":  # closed by its process, it has no inode, and says that it is root's
                return int(fields[7])
    return None


def _is_loopback(entry: str, port: int) -> bool:
    address, _, number = entry.partition(":")
    return int(number, 16) == port and address in {_LOOPBACK, _MAPPED}


def _peer_user_macos(connection: socket.socket) -> int:
    """Not yet run on a Mac."""
    found = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_SIZE)
    if len(found) < _XUCRED.size:
        raise OSError(errno.EPROTO, "the system describes the peer in an unknown way")
    version, user = _XUCRED.unpack_from(found)
    if version != _XUCRED_VERSION:
        raise OSError(errno.EPROTO, "the system describes the peer in an unknown way")
    return int(user)


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
