"""A share's recording, with programs of a few lines in place of ffmpeg and of the display."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra.remote.screen_sharing import screen_account
from sra.remote.screen_sharing.recording import recorder as recording_linux
from sra.remote.screen_sharing.recording.folder import RecordingFolder
from sra.remote.screen_sharing.recording.recorder import MEBIBYTE, Recording, ShareRecorder
from sra.remote.screen_sharing.screen_account import ScreenAccount, ServerError
from sra.remote.screen_sharing.x11 import vnc_linux
from tests.loopback import until

ACCOUNT = ScreenAccount("_srascreen", 2**31, 2**31)
WRITES = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"end"), sys.exit()))
os.write(1, sys.argv[1].encode() + b"\\n")
while True:
    time.sleep(0.01)
    os.write(1, b".")
"""
"""What it is asked to record, then something every now and then, then its end."""
SAYS_SIZES = """\
import os, sys, time
done = 0
while True:
    lines = open(sys.argv[1]).read().splitlines()
    for line in lines[done:]:
        if line == "gone":
            sys.exit()
        print(line, flush=True)
    done = len(lines)
    time.sleep(0.005)
"""


class Scene:
    """A folder of recordings, and a display whose sizes the test writes down."""

    def __init__(self, folder: Path) -> None:
        self.sizes = folder / "sizes"
        self.sizes.write_text("320 240\n")
        self.recordings = RecordingFolder(folder / "recordings")
        self.recorder = ShareRecorder(self.recordings, ACCOUNT, 100 * MEBIBYTE)
        self.recording = Recording(self.recorder, "ann (192.0.2.1)")

    async def open(self) -> None:
        await self.recording.open(vnc_linux.environment(":0", Path("/run/cookie")))

    def becomes(self, line: str) -> None:
        with self.sizes.open("a") as file:
            file.write(f"{line}\n")

    def files(self) -> list[str]:
        """The first line of each, by when it was begun, and whether it was ended in order."""
        paths = [path for path in self.recordings.path.iterdir() if path.name.startswith(self.recording.name)]
        contents = [path.read_text() for path in sorted(paths, key=lambda path: (len(path.name), path.name))]
        return [f"{text.splitlines()[0]}{' whole' if text.endswith('end') else ''}" for text in contents if text]

    def writers(self) -> list[int]:
        """The process ids of what records."""
        return [part.process.pid for part in self.recording._parts]


@pytest.fixture(autouse=True)
def _programs_of_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def arguments(display: str, size: tuple[int, int]) -> tuple[str, ...]:
        return (sys.executable, "-c", WRITES, f"{display} {size[0]}x{size[1]}")

    monkeypatch.setattr(recording_linux, "arguments", arguments)
    monkeypatch.setattr(recording_linux, "SIZES", (sys.executable, "-c", SAYS_SIZES, str(tmp_path / "sizes")))
    monkeypatch.setattr(recording_linux, "LOOK_AGAIN", 0.02)
    monkeypatch.setattr(recording_linux, "SWITCHING", 0.05)
    monkeypatch.setattr(screen_account, "_rights", lambda _: (None, None, None))


@asynccontextmanager
async def recorded(tmp_path: Path) -> AsyncIterator[Scene]:
    there = Scene(tmp_path)
    before = _children()
    await there.open()
    try:
        yield there
    finally:
        await there.recording.close()
        assert there.writers() == []
        assert _children() <= before


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def test_the_whole_display_is_recorded_until_the_share_ends(tmp_path: Path) -> None:
    async with recorded(tmp_path) as there:
        assert there.files() == [":0 320x240"]
        waiting = asyncio.create_task(there.recordings.next_whole())
        await asyncio.sleep(0.05)
        assert not waiting.done()
    assert there.files() == [":0 320x240 whole"]
    assert (await waiting).name == f"{there.recording.name}.mkv"


async def test_another_size_begins_another_file_and_the_share_goes_on(tmp_path: Path) -> None:
    async with recorded(tmp_path) as there:
        ending = asyncio.create_task(there.recording.wait_ended())
        there.becomes("640 480")
        await until(lambda: there.files() == [":0 320x240 whole", ":0 640x480"])
        assert (await there.recordings.next_whole()).name == f"{there.recording.name}.mkv"
        there.becomes("800 600")
        await until(lambda: len(there.files()) == 3 and len(there.writers()) == 1)
        assert not ending.done()
        ending.cancel()
    assert there.files() == [":0 320x240 whole", ":0 640x480 whole", ":0 800x600 whole"]


async def test_a_size_that_changes_for_ever_ends_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_linux, "MAX_PARTS", 2)
    async with recorded(tmp_path) as there:
        there.becomes("640 480\n800 600")
        assert "changed too often to be recorded (2 times)" in await there.recording.wait_ended()


async def test_when_ffmpeg_ends_or_is_killed_the_share_does(tmp_path: Path) -> None:
    async with recorded(tmp_path) as there:
        os.kill(there.writers()[0], signal.SIGKILL)
        assert await there.recording.wait_ended() == "ffmpeg, which records the screen, ended."


async def test_when_ffmpeg_ended_because_the_size_changed_the_share_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recorded(tmp_path) as there:
        monkeypatch.setattr(recording_linux, "SWITCHING", 0.5)
        ending = asyncio.create_task(there.recording.wait_ended())
        os.kill(there.writers()[0], signal.SIGKILL)
        there.becomes("200 100")
        await until(lambda: there.files() == [":0 320x240", ":0 200x100"])
        await asyncio.sleep(0.7)
        assert not ending.done()
        ending.cancel()


async def test_one_that_stands_still_ends_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_linux, "STANDSTILL", 0.5)
    monkeypatch.setattr(screen_account, "STOP_DEADLINE", 0.2)
    async with recorded(tmp_path) as there:
        ending = asyncio.create_task(there.recording.wait_ended())
        await asyncio.sleep(0.05)
        os.kill(there.writers()[0], signal.SIGSTOP)
        assert await ending == "The screen's recording stood still."


async def test_what_is_full_ends_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with recorded(tmp_path) as there:
        ending = asyncio.create_task(there.recording.wait_ended())
        (there.recordings.path / "older").write_bytes(bytes(MEBIBYTE))
        await asyncio.sleep(0.1)
        assert not ending.done()
        with (there.recordings.path / "older").open("wb") as file:
            file.truncate(100 * MEBIBYTE)
        assert (await ending).startswith("The recordings of this remote's screen take the 100 MiB that they may:")
        (there.recordings.path / "older").unlink()
        monkeypatch.setattr(there.recordings, "free", lambda: recording_linux.ALWAYS_FREE - 1)
        assert await there.recording.wait_ended() == "The remote's disk is too full to record the screen."


@pytest.mark.parametrize(
    ("sizes", "program", "why"),
    [
        ("gone", WRITES, "went away"),
        ("a picture", WRITES, "went away"),
        ("320 240", "raise SystemExit(1)", "can't record the display"),
        ("320 240", "import time; time.sleep(60)", "does not begin to record"),
    ],
)
async def test_what_can_not_begin_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: str, program: str, why: str
) -> None:
    monkeypatch.setattr(recording_linux, "START_DEADLINE", 1.0)
    monkeypatch.setattr(recording_linux, "arguments", lambda *_: (sys.executable, "-c", program))
    there = Scene(tmp_path)
    there.sizes.write_text(f"{sizes}\n")
    before = _children()
    with pytest.raises(ServerError, match=why):
        await there.open()
    assert not there.recordings.path.exists() or there.files() == []
    assert _children() <= before


def test_without_ffmpeg_or_room_there_is_an_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = ShareRecorder(RecordingFolder(tmp_path), ACCOUNT, MEBIBYTE)
    monkeypatch.setattr(recording_linux, "PROGRAM", "true")
    assert recorder.obstacle() == ""
    (tmp_path / "older").write_bytes(bytes(MEBIBYTE))
    full = "The recordings of this remote's screen take the 1 MiB that they may: remove some of those in"
    assert recorder.obstacle() == f"{full} {tmp_path}."
    monkeypatch.setattr(recording_linux, "PROGRAM", "no-such-program")
    assert recorder.obstacle() == (
        "The owner of this remote wants its screen recorded, and no-such-program is not installed there."
    )
