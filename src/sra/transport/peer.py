"""Who is at the other end of a UNIX socket, or of a TCP connection within this machine, as the kernel says."""

from __future__ import annotations

import socket
import struct
import sys

_UCRED = struct.Struct("=iII")
"""Linux, unix(7) SO_PEERCRED: process, user, group."""

_XUCRED = struct.Struct("=II")
"""macOS, sys/ucred.h: the version of the structure and the user, then groups."""
_XUCRED_SIZE = 76
_XUCRED_VERSION = 0
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1

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
    """The user ID of the process that connected; raise ``OSError`` if the system doesn't tell."""
    return _peer_user_macos(connection) if sys.platform == "darwin" else peer_process_linux(connection)[1]


def peer_process_linux(connection: socket.socket) -> tuple[int, int]:
    """The process that is there, or that listens there, and its user's ID; raise ``OSError`` if there is none."""
    process, user, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return process, user


def loopback_user_linux(port: int, to_port: int) -> int | None:
    """The user whose socket at 127.0.0.1 has this port and is connected to ``to_port`` there; ``None`` if unknown.

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


def _peer_user_macos(connection: socket.socket) -> int:
    """Not yet run on a Mac."""
    found = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_SIZE)
    version, user = _XUCRED.unpack_from(found)
    if version != _XUCRED_VERSION:
        raise OSError("the system describes the peer in an unknown way")
    return int(user)
