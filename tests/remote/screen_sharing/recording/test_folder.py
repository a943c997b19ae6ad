"""The folder of recordings: whose they are, and which are yet to be told of."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path

import pytest

from sra.errors import ProtocolError
from sra.remote.screen_sharing.recording.folder import FinishedRecording, RecordingFolder, new_name
from tests.loopback import DEADLINE

CONTENT = b"pictures" * 300_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def put(recordings: RecordingFolder, name: str, content: bytes = CONTENT) -> None:
    descriptor = recordings.begin(name)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def a_name(by: str = "ann") -> str:
    return f"{new_name(by)}.mkv"


async def is_nothing_left(recordings: RecordingFolder) -> bool:
    waiting = asyncio.create_task(recordings.next_whole())
    await asyncio.sleep(0.05)
    was_waiting = not waiting.done()
    waiting.cancel()
    return was_waiting


@pytest.mark.parametrize(
    ("by", "safe"),
    [
        ("ann (Ann Example, 192.0.2.1)", "ann-Ann-Example-192-0-2-1"),
        ("../../etc/passwd", "etc-passwd"),
        ("CORP\\bob\n\x1b[2J", "CORP-bob-2J"),
        ("é" * 500, ""),
        ("-rf " * 100, "rf-" * 19 + "rf"),
    ],
)
def test_a_name_says_when_and_with_whom_and_has_nothing_else_of_it(by: str, safe: str) -> None:
    name = new_name(by)
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z_{safe}_[0-9a-f]{{8}}", name)
    assert name != new_name(by)


def test_folder_and_files_are_their_owners_alone_and_none_is_written_over(tmp_path: Path) -> None:
    recordings, name = RecordingFolder(tmp_path / "recordings"), a_name()
    put(recordings, name)
    assert recordings.path.stat().st_mode & 0o777 == 0o700
    assert (recordings.path / name).stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        recordings.begin(name)


async def test_one_is_told_of_when_it_is_whole_until_that_is_noted(tmp_path: Path) -> None:
    recordings, name = RecordingFolder(tmp_path), a_name()
    put(recordings, name)
    assert await is_nothing_left(recordings)
    telling = asyncio.create_task(recordings.next_whole())
    await asyncio.sleep(0)
    recordings.end(name)
    expected = FinishedRecording(name, len(CONTENT), SHA256)
    assert await asyncio.wait_for(telling, DEADLINE) == expected
    assert await recordings.next_whole() == expected
    recordings.told(name)
    assert (tmp_path / f"{name}.sha256").read_text() == f"{SHA256}  {name}\n"
    assert await is_nothing_left(recordings)


async def test_one_that_was_being_made_when_the_helper_was_killed_is_told_of_by_the_next(tmp_path: Path) -> None:
    name = a_name()
    put(RecordingFolder(tmp_path), name)
    assert (await RecordingFolder(tmp_path).next_whole()).name == name


def test_one_without_a_picture_is_not_kept(tmp_path: Path) -> None:
    recordings, name = RecordingFolder(tmp_path), a_name()
    put(recordings, name, b"")
    recordings.end(name)
    assert list(tmp_path.iterdir()) == []


def test_only_one_whose_hash_was_told_can_be_noted(tmp_path: Path) -> None:
    recordings, name = RecordingFolder(tmp_path), a_name()
    put(recordings, name)
    for wrong in (name, "../../etc/passwd", ""):
        with pytest.raises(ProtocolError, match="hash was never told"):
            recordings.told(wrong)


async def test_other_files_are_no_recordings(tmp_path: Path) -> None:
    recordings, name = RecordingFolder(tmp_path), a_name()
    for other in ("notes.txt", "holiday.mkv", f"{name}.sha256", f".{name}.draft"):
        (tmp_path / other).write_bytes(b"x")
    assert await is_nothing_left(recordings)
    assert recordings.used() == 4


async def test_one_that_was_removed_meanwhile_is_passed_over(tmp_path: Path) -> None:
    recordings, gone, there = RecordingFolder(tmp_path), a_name("a"), a_name("b")
    for name in (gone, there):
        put(recordings, name)
        recordings.end(name)
    (tmp_path / gone).unlink()
    assert (await recordings.next_whole()).name == there


async def test_a_link_in_place_of_one_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / a_name()).symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic link"):
        await RecordingFolder(tmp_path).next_whole()


async def test_without_the_folder_there_is_nothing_and_room(tmp_path: Path) -> None:
    recordings = RecordingFolder(tmp_path / "none" / "such")
    assert await is_nothing_left(recordings)
    assert recordings.used() == recordings.size("x") == 0
    assert recordings.free() > 0
    assert not recordings.path.exists()
