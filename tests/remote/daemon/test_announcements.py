"""What PAM announces is passed on as text; only root can announce, and garbage does nothing."""

from __future__ import annotations

import asyncio
import logging
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sra.remote.daemon.announcements import MAX_REMARK, Announcements
from tests.loopback import until

NOBODY = 65534


class Scene:
    """The socket, and what was heard."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "announce"
        self.heard: list[str] = []
        self.announcements = Announcements(self.path, self.heard.append)

    def say(self, said: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
            there.sendto(said, str(self.path))

    async def hears(self, said: bytes) -> str:
        before = len(self.heard)
        self.say(said)
        await until(lambda: len(self.heard) > before)
        return self.heard[-1]


@contextmanager
def announcing(folder: Path) -> Iterator[Scene]:
    scene = Scene(folder)
    scene.announcements.open()
    try:
        yield scene
    finally:
        scene.announcements.close()
    assert not scene.path.exists()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    with announcing(tmp_path) as made:
        yield made


async def test_what_is_announced_is_heard(scene: Scene) -> None:
    assert await scene.hears("sudo für Ann".encode()) == "sudo für Ann"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"one\ntwo\r\x1b[2J\x00", "one?two??[2J?"),
        ("\u202eturned".encode(), "?turned"),
        (b"x" * 5000, "x" * MAX_REMARK),
        (b"\xff" * 5000, "\ufffd" * MAX_REMARK),
    ],
    ids=["nothing", "no text", "control characters", "direction", "long", "long and no text"],
)
async def test_whatever_is_announced_becomes_a_short_line(scene: Scene, said: bytes, heard: str) -> None:
    assert await scene.hears(said) == heard
    assert await scene.hears(b"next") == "next"


async def test_a_flood_is_heard_in_order_and_nothing_is_lost(scene: Scene) -> None:
    for number in range(300):
        await scene.hears(str(number).encode())
    assert scene.heard == [str(number) for number in range(300)]


AS_NOBODY = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
    try:
        there.sendto(b"sudo for root", sys.argv[1])
    except PermissionError:
        sys.exit("no permission")
"""


async def test_only_root_and_the_daemons_own_user_can_announce() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(Path(folder).chmod, 0o755)
        with announcing(Path(folder)) as scene:
            assert stat.S_IMODE(scene.path.stat().st_mode) == 0o600
            command = [sys.executable, "-c", AS_NOBODY, str(scene.path), str(NOBODY)]
            tried = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            assert (tried.returncode, "ermi" in tried.stderr) == (1, True)
            await asyncio.sleep(0)
            assert scene.heard == []


async def test_what_a_killed_daemon_has_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(str(tmp_path / "announce"))
    with announcing(tmp_path) as scene:
        assert await scene.hears(b"again") == "again"


async def test_where_there_can_be_no_socket_everything_else_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("sra"), "propagate", True)
    scene = Scene(tmp_path / "missing")
    scene.announcements.open()
    scene.announcements.close()
    assert "admins are not told what the card is asked for" in caplog.text
