"""The program that PAM runs before it asks the card: one datagram, never late, never a failure."""

from __future__ import annotations

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


def announce(*arguments: object, environment: Mapping[str, str] = SU) -> None:
    ended = subprocess.run([PROGRAM, *map(str, arguments)], env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (SU, "su for ann (pts/3)"),
        ({"PAM_SERVICE": "sudo", "PAM_USER": "ann"}, "sudo for ann"),
        ({"PAM_SERVICE": "lightdm", "PAM_TTY": ":0"}, "lightdm (:0)"),
        ({}, ""),
    ],
)
def test_it_says_who_asks_for_whom(srad: socket.socket, environment: dict[str, str], said: str) -> None:
    announce(srad.getsockname(), environment=environment)
    assert srad.recv(1000).decode() == said


def test_long_names_are_cut(srad: socket.socket) -> None:
    announce(srad.getsockname(), environment=dict.fromkeys(SU, "x" * 5000))
    said = srad.recv(1000).decode()
    assert said == f"{'x' * 60} for {'x' * 60} ({'x' * 60})"
    assert len(said) <= 200


def test_where_nobody_listens_it_is_over_at_once(tmp_path: Path) -> None:
    for arguments in ([], [tmp_path / "none"], [tmp_path], ["x" * 5000], ["a", "b"]):
        announce(*arguments)


def test_a_listener_that_reads_nothing_holds_nobody_up(srad: socket.socket) -> None:
    """The queue of a datagram socket has few places."""
    for _ in range(200):
        announce(srad.getsockname())
