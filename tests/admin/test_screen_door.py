"""Where the viewer comes in: one connection of this user, and then nothing listens any more."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from sra.admin import screen_door
from sra.admin.screen_door import Door, open_door, tcp_owner
from tests.loopback import DEADLINE, run

BOTH = pytest.mark.parametrize("by_path", [True, False])


def knock(door: Door) -> socket.socket:
    """A viewer."""
    viewer = socket.socket(socket.AF_UNIX if door.path else socket.AF_INET)
    viewer.settimeout(DEADLINE)
    viewer.connect(str(door.path) if door.path else ("127.0.0.1", door.port))
    return viewer


@BOTH
def test_one_comes_in_and_the_door_is_shut(by_path: bool) -> None:
    async def body() -> None:
        with open_door(by_path=by_path) as door:
            viewer = knock(door)
            stream = await door.accept()
            stream.write(b"hello")
            assert await asyncio.to_thread(viewer.recv, 5) == b"hello"
            with pytest.raises(ConnectionRefusedError):
                knock(door)
            stream.abort()
            viewer.close()

    run(body())


@BOTH
def test_who_belongs_to_another_user_is_cut_off(by_path: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = iter([65534, None, os.geteuid()])
    monkeypatch.setattr(screen_door, "_unix_owner", lambda _: next(owners))
    monkeypatch.setattr(screen_door, "tcp_owner", lambda *_: next(owners))

    async def body() -> None:
        with open_door(by_path=by_path) as door:
            strangers = [knock(door), knock(door)]
            ours = knock(door)
            stream = await door.accept()
            for stranger in strangers:
                assert await asyncio.to_thread(stranger.recv, 1) == b""
                stranger.close()
            stream.write(b"hello")
            assert await asyncio.to_thread(ours.recv, 5) == b"hello"
            stream.abort()
            ours.close()

    run(body())


def test_who_knocks_without_end_shuts_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_door, "_unix_owner", lambda _: 65534)
    monkeypatch.setattr(screen_door, "MAX_STRANGERS", 3)

    async def body() -> None:
        with open_door(by_path=True) as door:
            strangers = [knock(door) for _ in range(3)]
            with pytest.raises(ConnectionAbortedError):
                await door.accept()
            for stranger in strangers:
                stranger.close()

    run(body())


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


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_owner_of_a_connection_is_found(family: socket.AddressFamily) -> None:
    with open_door(by_path=False) as door, socket.socket(family) as viewer:
        viewer.connect(("127.0.0.1" if family is socket.AF_INET else "::ffff:127.0.0.1", door.port))
        port = viewer.getsockname()[1]
        assert tcp_owner(port, door.port) == os.geteuid()
        assert tcp_owner(port, door.port ^ 1) is None
        assert tcp_owner(port ^ 1, door.port) is None


def test_another_users_row_is_read_as_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n"
        "   1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 222 1\n"
        "   2: 0200007F:D432 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1002        0 333 1\n"
    )
    monkeypatch.setattr(screen_door, "_TABLES", (table,))
    assert tcp_owner(0xD431, 0x1F90) == 1001
    assert tcp_owner(0xD432, 0x1F90) is None


def test_where_no_table_tells_the_first_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_door, "_TABLES", (tmp_path / "nothing",))
    assert tcp_owner(1, 2) == os.geteuid()
