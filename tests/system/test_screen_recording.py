"""The screen's recording, with ffmpeg: what is in the files, whose they are, and that no hash is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import product
from lab.processes import Process, children, wait_until
from lab.product import SRA, World
from lab.screen import ACCOUNT
from tests.system.parts import command_of, find, processes
from tests.system.screens import COOKIE, asking, audited, close_viewer, screen_world, start_x, wait_for_notes

FOLDER = "/var/lib/sra-screen"
REMOTE_AUDIT, ADMIN_AUDIT = "/var/log/sra/audit.jsonl", "/root/.config/sra/audit.jsonl"
SETTINGS = """\
[limits]
per_address = 1000
[screen]
record = true
recordings_mib = 64
"""
GREEN, BLUE = (0x3B, 0x5F, 0x41), (0x20, 0x42, 0x5F)
ON_THE_SCREEN = {"DISPLAY": ":0", "XAUTHORITY": COOKIE}
SMALL = ["--newmode", "small", "38.25", "160", "170", "180", "200", "120", "124", "126", "130"]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with screen_world(settings=SETTINGS) as world:
        start_x(world.remote)
        world.add_person("ann")
        yield world


@pytest.fixture(autouse=True)
def _nothing_runs_afterwards(world: World) -> Iterator[None]:
    paint(world, GREEN)
    world.admin.run(["sh", "-c", "rm -f /root/viewer-notes*"])
    yield
    wait_until(lambda: not recorders(world), "everything that records to end", 5)


def recorders(world: World) -> list[str]:
    return [each for each in processes(world.remote) if each.startswith("ffmpeg") or "display_x11 sizes" in each]


def paint(world: World, colour: tuple[int, ...]) -> None:
    world.remote.run(["xsetroot", "-solid", "#" + bytes(colour).hex()], env=ON_THE_SCREEN)


@contextmanager
def shown(world: World) -> Iterator[Process]:
    connection = product.connect(world.admin, world.service, "software:ann", "--slots", "9A", "--screen")
    try:
        wait_for_notes(world.admin, 1)
        yield connection
    finally:
        connection.terminate()
        connection.wait()


def recording_of(world: World) -> str:
    """The beginning of the names of the latest grant's files."""
    return str(audited(world.remote, REMOTE_AUDIT, "screen-granted")[-1]["recording"])


def wait_for_pictures(world: World, number: str = "") -> None:
    """Return when some are in a file of the latest grant."""
    path = f"{FOLDER}/{recording_of(world)}{number}.mkv"
    header = 1000

    def size() -> int:
        return int(world.remote.run(["stat", "--format", "%s", path], check=False).stdout or 0)

    wait_until(lambda: size() > header, "pictures", 10)


def recorded(world: World) -> list[str]:
    """The latest grant's files whose hashes are in the audit trail, once there is one; the first comes first."""
    name = recording_of(world)

    def of_grant() -> list[str]:
        written = [str(each["recording"]) for each in audited(world.remote, REMOTE_AUDIT, "screen-recorded")]
        return sorted((each for each in written if each.startswith(name)), key=len)

    wait_until(of_grant, f"the hash of {name} in the audit trail", 20)
    return of_grant()


def check_hashes(world: World, *names: str) -> None:
    """The files are root's, and as the audit trail says."""
    facts = {each["recording"]: each for each in audited(world.remote, REMOTE_AUDIT, "screen-recorded")}
    hashes = world.remote.run(["sha256sum", *names], folder=FOLDER).stdout.splitlines()
    assert hashes == [f"{facts[name]['sha256']}  {name}" for name in names]
    state = world.remote.run(["stat", "--format", "%A %U %G %s", *names], folder=FOLDER).stdout.splitlines()
    assert state == [f"-rw------- root root {facts[name]['size']}" for name in names]
    assert world.remote.run(["stat", "--format", "%A %U", FOLDER]).stdout == "drwx------ root\n"
    check = ["sha256sum", "--check", "--strict", *(f"{name}.sha256" for name in names)]
    wait_until(lambda: world.remote.run(check, folder=FOLDER, check=False).returncode == 0, "the notes", 5)


def check_chain(world: World) -> None:
    assert "is whole" in world.remote.run([SRA, "audit", "verify"]).stderr


def pictures(world: World, name: str, x: int = 20, y: int = 100) -> list[tuple[int, ...]]:
    """The colour of a place in each picture of a recording, as ffmpeg plays it."""
    play = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-xerror",
        "-i",
        f"{FOLDER}/{name}",
        "-vf",
        f"crop=2:2:{x}:{y},scale=1:1",
    ]
    played = world.remote.run([*play, "-f", "rawvideo", "-pix_fmt", "rgb24", "-y", "/run/colours"])
    assert played.stderr == ""
    lines = world.remote.run(["od", "-An", "-v", "-tu1", "-w3", "/run/colours"]).stdout.splitlines()
    return [tuple(map(int, line.split())) for line in lines]


def is_about(colour: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(one - other) < 12 for one, other in zip(colour, wanted, strict=True))


def size_of(world: World, name: str) -> str:
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0"]
    return world.remote.run([*probe, f"{FOLDER}/{name}"]).stdout.strip()


def test_what_was_shown_is_in_the_file_and_everybody_was_told(world: World) -> None:
    with shown(world) as connection:
        told = [line.partition(" ")[2] for line in connection.output.splitlines() if "screen" in line]
        assert told == ["The remote records its screen.", "The remote's screen is shown."]
        assert any("This screen is recorded and shared with ann (" in each for each in processes(world.remote))
        assert world.remote.run(["ps", "-C", "ffmpeg", "-o", "user="]).stdout.split() == [ACCOUNT]
        wait_for_pictures(world)
        paint(world, BLUE)
        time.sleep(1)
        close_viewer(world.admin)
        (name,) = recorded(world)
    check_hashes(world, name)
    check_chain(world)
    assert size_of(world, name) == "h264,320,240"
    seen = pictures(world, name)
    assert len(seen) >= 5
    assert is_about(seen[0], GREEN)
    assert is_about(seen[-1], BLUE)
    events = [each["event"] for each in audited(world.admin, ADMIN_AUDIT)]
    assert events == ["screen-is-recorded", "screen-opened", "screen-closed"]


def test_another_resolution_is_another_file_and_the_share_goes_on(world: World) -> None:
    with shown(world) as connection:
        wait_for_pictures(world)
        for words in (SMALL, ["--addmode", "screen", "small"], ["--output", "screen", "--mode", "small"]):
            world.remote.run(["xrandr", *words], env=ON_THE_SCREEN)
        (first,) = recorded(world)
        paint(world, BLUE)
        wait_for_pictures(world, "-2")
        world.remote.run(["xrandr", "--output", "screen", "--mode", "320x240"], env=ON_THE_SCREEN)
        wait_until(lambda: len(recorded(world)) == 2, "the second file", 10)
        assert connection.output.count("screen is shown") == 1
        assert "The screen went away" not in connection.output
    wait_until(lambda: len(recorded(world)) == 3, "the third file", 10)
    names = recorded(world)
    assert names[0] == first
    assert [size_of(world, name) for name in names] == ["h264,320,240", "h264,160,120", "h264,320,240"]
    assert is_about(pictures(world, names[1])[-1], BLUE)
    check_hashes(world, *names)


def helper_of(world: World) -> int:
    return next(pid for pid in children(world.service.process.pid) if "sra_screen" in command_of(pid))


def ffmpeg_of(world: World) -> int:
    return next(pid for pid in children(helper_of(world)) if command_of(pid).startswith("ffmpeg"))


@pytest.mark.parametrize("part", ["srad", "sra-screen", "ffmpeg"])
def test_no_hash_is_lost_when_a_process_is_killed(world: World, part: str) -> None:
    victims = {
        "srad": lambda: find(world, "srad"),
        "sra-screen": lambda: helper_of(world),
        "ffmpeg": lambda: ffmpeg_of(world),
    }
    with asking(world, "ann") as ann:
        ann.grant()
        assert ann.say("stream").startswith("let in")
        wait_for_pictures(world)
        os.kill(victims[part](), signal.SIGKILL)
        (name,) = recorded(world)
    check_hashes(world, name)
    check_chain(world)
    assert is_about(pictures(world, name)[-1], GREEN)
    if part == "ffmpeg":
        ended = audited(world.remote, REMOTE_AUDIT, "screen-ended")[-1]
        assert ended["reason"] == "ffmpeg, which records the screen, ended."


def test_what_can_not_be_recorded_is_not_shared(world: World) -> None:
    with asking(world, "ann") as ann:
        world.remote.run(["truncate", "--size", "64M", f"{FOLDER}/older.mkv"])
        assert ann.say("grant") == (
            "The recordings of this remote's screen take the 64 MiB that they may: "
            "remove some of those in /var/lib/sra-screen."
        )
        world.remote.run(["rm", f"{FOLDER}/older.mkv", "/usr/bin/ffmpeg"])
        assert ann.say("grant") == (
            "The owner of this remote wants its screen recorded, and ffmpeg is not installed there."
        )
        assert not any("X0tigervnc" in each for each in processes(world.remote))
