"""Where the viewer comes in: one connection of this user, and then nothing listens any more."""

from __future__ import annotations

import asyncio
import socket
import stat
import sys
from pathlib import Path

import pytest

from sra.admin.screen import viewer_socket as screen_door
from sra.admin.screen.viewer_socket import ViewerSocket, open_door
from tests.loopback import DEADLINE

BOTH = pytest.mark.parametrize("by_path", [True, False])


def knock(door: ViewerSocket) -> socket.socket:
    """A viewer."""
    viewer = socket.socket(socket.AF_UNIX if door.path else socket.AF_INET)
    viewer.settimeout(DEADLINE)
    viewer.connect(str(door.path) if door.path else ("127.0.0.1", door.port))
    return viewer


@BOTH
async def test_one_comes_in_and_the_door_is_shut(by_path: bool) -> None:
    with open_door(by_path=by_path) as door:
        viewer = knock(door)
        stream = await door.accept()
        stream.write(b"hello")
        assert await asyncio.to_thread(viewer.recv, 5) == b"hello"
        with pytest.raises(ConnectionRefusedError):
            knock(door)
        stream.abort()
        viewer.close()


@BOTH
async def test_who_belongs_to_another_user_is_cut_off(by_path: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = iter([False, False, True])
    monkeypatch.setattr(screen_door, "is_ours", lambda _: next(ours))
    monkeypatch.setattr(screen_door, "is_ours_by_tcp", lambda _: next(ours))
    with open_door(by_path=by_path) as door:
        strangers = [knock(door), knock(door)]
        viewer = knock(door)
        stream = await door.accept()
        for stranger in strangers:
            assert await asyncio.to_thread(stranger.recv, 1) == b""
            stranger.close()
        stream.write(b"hello")
        assert await asyncio.to_thread(viewer.recv, 5) == b"hello"
        stream.abort()
        viewer.close()


async def test_who_knocks_without_end_shuts_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_door, "is_ours", lambda _: False)
    monkeypatch.setattr(screen_door, "MAX_STRANGERS", 3)
    with open_door(by_path=True) as door:
        strangers = [knock(door) for _ in range(3)]
        with pytest.raises(ConnectionAbortedError):
            await door.accept()
        for stranger in strangers:
            stranger.close()


def test_the_socket_is_in_a_folder_of_ones_own_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with open_door(by_path=True) as door:
        assert door.path is not None
        folder = door.path.parent
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []


def test_a_port_is_one_of_the_loopback_address_only() -> None:
    with open_door(by_path=False) as door:
        assert door._listening.getsockname() == ("127.0.0.1", door.port)
    assert door.path is None


@BOTH
async def test_on_a_system_that_does_not_tell_who_knocks_nobody_comes_in(
    by_path: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    monkeypatch.setattr(screen_door, "MAX_STRANGERS", 2)
    with open_door(by_path=by_path) as door:
        viewers = [knock(door), knock(door)]
        with pytest.raises(ConnectionAbortedError):
            await door.accept()
        for viewer in viewers:
            viewer.close()
