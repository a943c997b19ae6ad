"""The root helper where the owner wants shares recorded."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

import pytest

from sra.errors import RefusalCode, RefusedError
from sra.remote.screen_sharing import helper_messages
from sra.remote.screen_sharing import share as sharing
from sra.remote.screen_sharing.helper_messages import Done, Recorded, Written
from sra.remote.screen_sharing.password import LOCKED
from sra.remote.screen_sharing.recording import recorder as recording_linux
from sra.remote.screen_sharing.recording.recorder import MEBIBYTE
from sra.remote.screen_sharing.wayland.wlroots_linux import Compositor
from sra.remote.screen_sharing.x11.displays_linux import RunningProcess
from tests.remote.screen_sharing.helper_scene import BY, raw, scene, use_programs_of_the_test


@pytest.fixture(autouse=True)
def _programs_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    use_programs_of_the_test(monkeypatch)


async def test_a_wayland_session_is_not_shared_where_it_has_to_be_recorded(tmp_path: Path) -> None:
    async with scene(tmp_path, recorded=True) as there:
        there.displays = [Compositor(RunningProcess(1, 1000, ("sway",)))]
        link = there.link()
        with pytest.raises(RefusedError, match="can't be done in a Wayland session") as refused:
            await link.grant(BY, view_only=False)
        assert refused.value.code is RefusalCode.NOT_ALLOWED
        assert there.servers() == []
        link.close()


async def test_a_share_that_is_recorded_says_so_and_srad_hears_of_the_recording_when_it_is_over(tmp_path: Path) -> None:
    async with scene(tmp_path, recorded=True) as there:
        link = there.link()
        name = (await link.grant(BY, view_only=False)).recording
        collecting = asyncio.create_task(raw(there, b'{"type":"collect"}'))
        await asyncio.sleep(0.1)
        assert not collecting.done()
        link.close()
        digest = hashlib.sha256(b"pictures\n").hexdigest()
        recorded = Recorded(f"{name}.mkv", 9, digest)
        assert helper_messages.decode_reply(await collecting) == recorded
        assert helper_messages.decode_reply(await raw(there, b'{"type":"collect"}')) == recorded
        assert helper_messages.decode_reply(await raw(there, helper_messages.encode(Written(recorded.name)))) == Done()
        assert b"hash was never told" in await raw(there, helper_messages.encode(Written(recorded.name)))


async def test_a_share_ends_with_its_recording(tmp_path: Path) -> None:
    async with scene(tmp_path, recorded=True) as there:
        link = there.link()
        await link.grant(BY, view_only=False)
        (there.recordings.path / "older").write_bytes(bytes(MEBIBYTE))
        assert (await link.wait_ended()).startswith("The recordings of this remote's screen take the 1 MiB")
        assert there.hashes[-1] == LOCKED
        second = there.link()
        with pytest.raises(RefusedError, match="remove some of those") as refused:
            await second.grant(BY, view_only=False)
        assert refused.value.code is RefusalCode.NOT_ALLOWED
        second.close()


async def test_a_screen_that_can_not_be_recorded_is_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.1)
    monkeypatch.setattr(recording_linux, "arguments", lambda *_: (sys.executable, "-c", "raise SystemExit(1)"))
    async with scene(tmp_path, recorded=True) as there:
        link = there.link()
        with pytest.raises(RefusedError, match="can't record the display"):
            await link.grant(BY, view_only=False)
        link.close()
        assert there.hashes == [LOCKED, LOCKED]
        assert list(there.recordings.path.iterdir()) == []
        assert await raw(there, b'{"type":"lock"}') == b'{"type":"done"}'


async def test_without_ffmpeg_no_server_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_linux, "PROGRAM", "no-such-program")
    async with scene(tmp_path, recorded=True) as there:
        link = there.link()
        with pytest.raises(RefusedError, match="is not installed there") as refused:
            await link.grant(BY, view_only=False)
        assert refused.value.code is RefusalCode.NOT_ALLOWED
        assert there.servers() == []
        link.close()
