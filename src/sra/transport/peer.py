"""Who is at the other end of a UNIX socket, as the kernel says."""

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


def peer_user(connection: socket.socket) -> int:
    """The user ID of the process that connected; raise ``OSError`` if the system doesn't tell."""
    return _peer_user_macos(connection) if sys.platform == "darwin" else peer_process_linux(connection)[1]


def peer_process_linux(connection: socket.socket) -> tuple[int, int]:
    """The process that is there, or that listens there, and its user's ID; raise ``OSError`` if there is none."""
    process, user, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return process, user


def _peer_user_macos(connection: socket.socket) -> int:
    """Not yet run on a Mac."""
    found = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_SIZE)
    version, user = _XUCRED.unpack_from(found)
    if version != _XUCRED_VERSION:
        raise OSError("the system describes the peer in an unknown way")
    return int(user)
