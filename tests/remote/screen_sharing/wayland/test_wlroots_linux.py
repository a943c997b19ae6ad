"""Which Wayland session is shared, and that a connection leads to no other process than its compositor."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sra.remote.screen_sharing.wayland.wlroots_linux import Compositor, connect, find
from sra.remote.screen_sharing.x11.displays_linux import Display, NoDisplayError, RunningProcess

ANN, GREETER = 1000, 110
X = RunningProcess(7, 0, ("/usr/lib/xorg/Xorg", ":0", "vt7"))
SWAY = RunningProcess(1, ANN, ("sway",))
LABWC = RunningProcess(2, ANN, ("/usr/bin/labwc",))
LOGIN = RunningProcess(3, GREETER, ("sway", "--config", "/etc/greetd/sway-config"))
GNOME = RunningProcess(4, ANN, ("/usr/bin/gnome-shell",))
OPEN = {1: ("/dev/tty1", "socket:[5]"), 2: ("/dev/dri/card0",), 3: ("/dev/tty7",)}


def opened(pid: int) -> tuple[str, ...]:
    return OPEN.get(pid, ())


@pytest.mark.parametrize(
    ("running", "console", "pid"),
    [
        ([SWAY], "tty1", 1),
        ([SWAY], "", 1),
        ([LABWC], "tty1", 2),
        ([LOGIN], "tty7", 3),
        ([LOGIN, SWAY], "tty1", 1),
        ([SWAY, LOGIN], "tty7", 3),
        ([X, SWAY], "tty1", 1),
        ([X, SWAY], "tty7", 7),
        ([X, SWAY], "tty3", 7),
        ([X, SWAY], "", 7),
        ([X, LABWC], "tty2", 2),
        ([X], "tty1", 7),
    ],
)
def test_what_is_on_the_console_is_the_one(running: list[RunningProcess], console: str, pid: int) -> None:
    found = find(running, console, opened)
    assert (found.server if isinstance(found, Display) else found.process).pid == pid


def test_a_persons_session_without_the_machines_screen_is_not_shared_in_place_of_the_real_one() -> None:
    with pytest.raises(NoDisplayError, match="while it is a Wayland session"):
        find([SWAY], "tty1", lambda pid: ("/dev/null", "/dev/pts/1", "/dev/dri/renderD128", f"/proc/{pid}/stat"))
    with pytest.raises(NoDisplayError, match="while it is a Wayland session"):
        find([GNOME], "tty1", lambda _: ("/dev/tty1",))
    with pytest.raises(NoDisplayError, match="no X display runs"):
        find([], "tty1", opened)


def test_somebody_is_logged_in_but_at_a_login_window() -> None:
    assert Compositor(SWAY).is_a_persons
    assert not Compositor(LOGIN).is_a_persons


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """This process as a compositor: what listens at wayland-1 in its user's folder."""
    (tmp_path / str(os.geteuid())).mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / str(os.geteuid()) / "wayland-1"))
        listening.listen(0)
        yield listening


def ours(pid: int) -> Compositor:
    return Compositor(RunningProcess(pid, os.geteuid(), ("sway",)))


def test_a_connection_leads_to_the_compositor(tmp_path: Path, listener: socket.socket) -> None:
    with connect(ours(os.getpid()), tmp_path) as connection:
        accepted, _ = listener.accept()
        accepted.sendall(b"x")
        assert connection.recv(1) == b"x"
        accepted.close()


def test_another_process_that_listens_there_gets_nothing(tmp_path: Path, listener: socket.socket) -> None:
    with pytest.raises(NoDisplayError, match="The session of sway takes no connection"):
        connect(ours(os.getpid() + 1), tmp_path)
    accepted, _ = listener.accept()
    assert accepted.recv(1) == b""
    accepted.close()


def test_one_that_takes_nobody_is_not_waited_for(tmp_path: Path, listener: socket.socket) -> None:
    with connect(ours(os.getpid()), tmp_path), pytest.raises(NoDisplayError):
        connect(ours(os.getpid()), tmp_path)
    assert listener.fileno() > 0


def test_without_a_socket_there_is_no_connection(tmp_path: Path) -> None:
    with pytest.raises(NoDisplayError):
        connect(ours(os.getpid()), tmp_path)
