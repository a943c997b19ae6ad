"""The program that PAM runs before it asks the card: one datagram, never late; a no only to logins from elsewhere."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "reader" / "build" / "sra-announce"
SU = {"PAM_SERVICE": "su", "PAM_USER": "ann", "PAM_TTY": "pts/3"}
AT_ONCE = 0.015
"""Seconds: what a person at sudo does not notice."""


@pytest.fixture
def srad(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "announce"))
        listening.settimeout(2)
        yield listening


def announce(*arguments: object, environment: Mapping[str, str] = SU, status: int = 0) -> None:
    ended = subprocess.run([PROGRAM, *map(str, arguments)], env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, b"", b"")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (SU, "su for ann (pts/3)"),
        ({"PAM_SERVICE": "sudo", "PAM_USER": "ann"}, "sudo for ann"),
        ({"PAM_SERVICE": "lightdm", "PAM_TTY": ":0"}, "lightdm (:0)"),
        ({"PAM_SERVICE": "su", "PAM_USER": "ann", "PAM_RUSER": "bob", "PAM_TTY": "pts/3"}, "su for ann by bob (pts/3)"),
        ({}, ""),
    ],
)
def test_it_says_who_asks_for_whom(srad: socket.socket, environment: dict[str, str], said: str) -> None:
    announce(srad.getsockname(), environment=environment)
    assert srad.recv(1000).decode() == said


def test_long_names_are_cut(srad: socket.socket) -> None:
    """At the front: the end of a host's name is what tells whose it is."""
    every = ("PAM_SERVICE", "PAM_RHOST", "PAM_USER", "PAM_RUSER", "PAM_TTY")
    announce(srad.getsockname(), "from-network", environment=dict.fromkeys(every, "x" * 5000 + "end"))
    said = srad.recv(1000).decode()
    xs = {length: "x" * (length - 3) + "end" for length in (32, 64, 40, 12)}
    assert said == f"{xs[32]} from {xs[64]} for {xs[40]} by {xs[32]} ({xs[12]})"
    assert len(said) <= 200


ELSEWHERE = [
    "192.0.2.7",
    "localhost",
    "127.0.0.1",
    "::1",
    "remote",
    "host:0",
    ":0evil",
    ":0\n",
    " ",
    "\x1b[2J",
    "x" * 9999,
]


@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_login_from_elsewhere_is_refused_and_nobody_is_told(srad: socket.socket, host: str) -> None:
    announce(srad.getsockname(), environment={**SU, "PAM_RHOST": host}, status=1)
    srad.setblocking(False)
    with pytest.raises(BlockingIOError):
        srad.recv(1000)


@pytest.mark.parametrize("host", ["", ":0", ":10.0"])
def test_a_display_of_this_machine_is_here(srad: socket.socket, host: str) -> None:
    announce(srad.getsockname(), environment={**SU, "PAM_RHOST": host})
    assert srad.recv(1000)


@pytest.mark.parametrize(("said", "status"), [(("", "192.0.2.7"), 1), (("192.0.2.7", ""), 0)])
def test_what_other_modules_say_of_the_host_does_not_count(
    srad: socket.socket, said: tuple[str, str], status: int
) -> None:
    """pam_exec puts its own variables behind those of PAM's environment, which others have set."""
    environment = (ctypes.c_char_p * 3)(*(f"PAM_RHOST={host}".encode() for host in said), None)
    words = (ctypes.c_char_p * 3)(b"sra-announce", srad.getsockname().encode(), None)
    pid = ctypes.c_int()
    spawn = ctypes.CDLL(None).posix_spawn
    assert spawn(ctypes.byref(pid), str(PROGRAM).encode(), None, None, words, environment) == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid.value, 0)[1]) == status


def test_where_it_is_wished_the_host_is_named_and_looks_like_nothing_else(srad: socket.socket) -> None:
    chosen = {
        "PAM_SERVICE": "sshd",
        "PAM_RHOST": "a) for root\n\x1b[2J",
        "PAM_USER": "ann (tty1) for",
        "PAM_TTY": "ssh",
    }
    announce(srad.getsockname(), "from-network", environment=chosen)
    assert srad.recv(1000).decode() == "sshd from a??for?root??[2J for ann??tty1??for (ssh)"


def test_where_nobody_listens_it_is_over_at_once(tmp_path: Path) -> None:
    for arguments in ([], [tmp_path / "none"], [tmp_path], ["x" * 5000], ["a", "b"]):
        announce(*arguments)


def test_a_listener_that_reads_nothing_holds_nobody_up(srad: socket.socket) -> None:
    """The queue of a datagram socket has few places."""
    for _ in range(200):
        announce(srad.getsockname())
