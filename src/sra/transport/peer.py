"""Who is at the other end of a UNIX socket, or of a TCP connection within this machine, as the kernel says."""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path

_UCRED = struct.Struct("=iII")
"""Linux, unix(7) SO_PEERCRED: process, user, group."""

_XUCRED = struct.Struct("=II")
"""macOS, sys/ucred.h: the version of the structure and the user, then groups."""
_XUCRED_SIZE = 76
_XUCRED_VERSION = 0
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1

_TCP_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
"""The sockets of this network (proc_pid_net(5)): both addresses in hexadecimal, and the user of each."""
_LOOPBACK = "0100007F"
_MAPPED = f"0000000000000000FFFF0000{_LOOPBACK}"
"""127.0.0.1, as a little-endian machine writes it there; and the same of a socket for IPv6."""


def peer_user(connection: socket.socket) -> int:
    """The user ID of the process that connected; raise ``OSError`` if the system doesn't tell."""
    return _peer_user_macos(connection) if sys.platform == "darwin" else peer_process_linux(connection)[1]


def peer_process_linux(connection: socket.socket) -> tuple[int, int]:
    """The process that is there, or that listens there, and its user's ID; raise ``OSError`` if there is none."""
    process, user, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return process, user


def loopback_user_linux(port: int, to_port: int) -> int | None:
    """The user whose socket at 127.0.0.1 has this port and is connected to ``to_port`` there; ``None`` if unknown."""
    here, there = ({f"{address}:{number:04X}" for address in (_LOOPBACK, _MAPPED)} for number in (port, to_port))
    for table in _TCP_TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split(maxsplit=8)
            if fields[1] in here and fields[2] in there:
                return int(fields[7])
    return None


def _peer_user_macos(connection: socket.socket) -> int:
    """Not yet run on a Mac."""
    found = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_SIZE)
    version, user = _XUCRED.unpack_from(found)
    if version != _XUCRED_VERSION:
        raise OSError("the system describes the peer in an unknown way")
    return int(user)
