"""Which user is at the other end of a local connection, as the kernel says.

Every local socket that is accepted, or connected to, is checked here and nowhere else. Where the system does not say
who is there, the answer is an error, never "this user": modes of a folder or a password are a second lock, and no
reason to leave the first one open.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys

from sra.system.tcp import tcp_user

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


def _peer_user_macos(connection: socket.socket) -> int:
    """Not yet run on a Mac."""
    found = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_SIZE)
    if len(found) < _XUCRED.size:
        raise OSError(errno.EPROTO, "the system describes the peer in an unknown way")
    version, user = _XUCRED.unpack_from(found)
    if version != _XUCRED_VERSION:
        raise OSError(errno.EPROTO, "the system describes the peer in an unknown way")
    return int(user)
