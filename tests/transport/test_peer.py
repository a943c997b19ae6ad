"""Which user is at the other end of a UNIX socket."""

from __future__ import annotations

import os
import socket

import pytest

from sra.transport.peer import peer_user


def test_the_user_at_the_other_end_is_told() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_user(ours) == os.getuid()


def test_a_closed_socket_has_no_user() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        peer_user(ours)
