"""A root helper without root, for tests: screen servers and recorders of a few lines, a password not the system's."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.helper import Helper
from sra.remote.screen_sharing.link import ScreenLink
from sra.remote.screen_sharing.password import LOCKED, OnePassword
from sra.remote.screen_sharing.recording import recorder as recording_linux
from sra.remote.screen_sharing.recording.folder import RecordingFolder
from sra.remote.screen_sharing.recording.recorder import MEBIBYTE, ShareRecorder
from sra.remote.screen_sharing.screen_account import ScreenAccount
from sra.remote.screen_sharing.share import Policy, SharePlace
from sra.remote.screen_sharing.wayland.wlroots_linux import Compositor
from sra.remote.screen_sharing.x11 import vnc_linux
from sra.remote.screen_sharing.x11.displays_linux import Display, NoDisplayError, RunningProcess
from tests.loopback import DEADLINE, until

SERVER = """\
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
open(sys.argv[1] + ".log", "a").write(f"{os.getpid()}\\n")
while True:
    connection, _ = listening.accept()
    connection.send(b"RFB 003.008\\n")
"""
DISPLAY = Display(0, RunningProcess(os.getpid(), os.geteuid(), ("Xorg", ":0")), None)
RECORDER = "import sys, time; print('pictures', flush=True); time.sleep(60)"
SIZES = "import time; print(320, 240, flush=True); time.sleep(60)"
BY = "ann (192.0.2.1)"


class Scene:
    """A helper, and whom its sockets take for srad and for PAM."""

    def __init__(self, folder: Path, policy: Policy, *, recorded: bool) -> None:
        self.folder = folder
        self.hashes: list[str] = []
        self.displays: list[Display | Compositor] = [DISPLAY]
        account = ScreenAccount("_srascreen", 2**31, 2**31)
        self.recordings = RecordingFolder(folder / "recordings")
        recorder = ShareRecorder(self.recordings, account, MEBIBYTE) if recorded else None
        self.place = SharePlace(folder / "server", account, policy, self._find, recorder)
        self.place.folder.mkdir(exist_ok=True)
        self.password = OnePassword("_srascreen", self._set)
        self.helper = Helper(self.socket, self.place, os.geteuid(), self.password, self.recordings)

    @property
    def socket(self) -> Path:
        return self.folder / "helper"

    def _find(self) -> Display | Compositor:
        if not self.displays:
            raise NoDisplayError("no display")
        return self.displays[0]

    async def _set(self, account: str, value: str) -> None:
        self.hashes.append(value)

    def servers(self) -> list[int]:
        """The process ids of the servers that were started."""
        log = self.folder / "server" / "vnc.log"
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    def link(self) -> ScreenLink:
        return ScreenLink(self.socket)


def use_programs_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of X0tigervnc, ffmpeg and what says how large the display is; as who runs the test."""

    def arguments(display: str, socket: Path, account: ScreenAccount, *, view_only: bool) -> Sequence[str]:
        return (sys.executable, "-c", SERVER, str(socket))

    monkeypatch.setattr(vnc_linux, "arguments", arguments)
    monkeypatch.setattr(recording_linux, "PROGRAM", sys.executable)
    monkeypatch.setattr(recording_linux, "arguments", lambda *_: (sys.executable, "-c", RECORDER))
    monkeypatch.setattr(recording_linux, "SIZES", (sys.executable, "-c", SIZES))
    monkeypatch.setattr(screen_account, "_rights", lambda _: (None, None, None))


@asynccontextmanager
async def scene(tmp_path: Path, policy: Policy | None = None, *, recorded: bool = False) -> AsyncIterator[Scene]:
    there = Scene(tmp_path, policy or Policy(notice=False), recorded=recorded)
    serving = asyncio.create_task(there.helper.serve())
    await until(there.socket.is_socket)
    try:
        yield there
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert there.hashes[-1] == LOCKED
        assert not any(map(is_alive, there.servers()))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def raw(there: Scene, *packets: bytes) -> bytes:
    """What a program that sends these gets, all of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(asking, str(there.socket))
        try:
            for packet in packets:
                asking.send(packet)
            async with asyncio.timeout(DEADLINE):
                return await loop.sock_recv(asking, 4096)
        except ConnectionError:
            return b""
