"""Telling a running connection what to do: only its own user can, and only what there is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from sra.admin import control
from sra.admin.control import MAX_LINE, Control, ControlRequest, ControlStatus, running, tell
from sra.errors import LinkError

STANDING = ControlStatus("remote", "ann", "software:ann", connected=True, inserted=True, paused=False, uses=3)
NOBODY = 65534


class Connection:
    """What a running connection does with its orders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.orders: list[ControlRequest] = []
        self.broken = False

    @property
    def path(self) -> Path:
        return self.folder / f"{os.getpid()}.socket"

    def table(self) -> dict[ControlRequest, Callable[[], Awaitable[ControlStatus]]]:
        def does(order: ControlRequest) -> Callable[[], Awaitable[ControlStatus]]:
            async def done() -> ControlStatus:
                self.orders.append(order)
                if self.broken:
                    raise LinkError("it broke")
                return msgspec.structs.replace(STANDING, paused=order is ControlRequest.PAUSE)

            return done

        return {order: does(order) for order in ControlRequest}


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[Connection]:
    connection = Connection(folder)
    taking = Control(folder, connection.table())
    await taking.open()
    try:
        yield connection
    finally:
        await taking.close()


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    async with listening(tmp_path / "sessions") as opened:
        yield opened


@pytest.mark.parametrize("order", ControlRequest)
async def test_every_order_is_done_and_answered(connection: Connection, order: ControlRequest) -> None:
    standing = await tell(connection.path, order)
    assert standing == msgspec.structs.replace(STANDING, paused=order is ControlRequest.PAUSE)
    assert connection.orders == [order]


async def test_folder_and_socket_are_their_users_alone(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir(mode=0o777)
    async with listening(tmp_path / "sessions") as connection:
        assert stat.S_IMODE(connection.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(connection.path.stat().st_mode) == 0o600


GARBAGE = {
    "nothing": b"",
    "no line": b'"status"',
    "an empty line": b"\n",
    "no order": b'"reboot"\n',
    "no JSON": b"\xff\xfe\n",
    "a number": b"7\n",
    "a list": b'["eject"]\n',
    "depth": b"[" * 2000 + b"\n",
    "an endless line": b'"' + b"x" * (2 * MAX_LINE) + b'"\n',
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_gets_no_answer_and_does_nothing(connection: Connection, said: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(connection.path)
    writer.write(said)
    writer.write_eof()
    assert await _all_of(reader) == b""
    writer.close()
    assert connection.orders == []
    assert (await tell(connection.path, ControlRequest.STATUS)).remote == "remote"


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes; a connection that is reset has brought nothing more."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_one_order_is_taken_on_each_connection(connection: Connection) -> None:
    reader, writer = await asyncio.open_unix_connection(connection.path)
    writer.write(b'"pause"\n"eject"\n')
    assert (await _all_of(reader)).count(b"\n") <= 1
    writer.close()
    assert connection.orders == [ControlRequest.PAUSE]


async def test_an_order_that_fails_gets_no_answer(connection: Connection) -> None:
    connection.broken = True
    with pytest.raises(LinkError, match="did not answer"):
        await tell(connection.path, ControlRequest.EJECT)
    assert connection.orders == [ControlRequest.EJECT]


AS_NOBODY = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as there:
    os.setuid(int(sys.argv[2]))
    try:
        there.connect(sys.argv[1])
    except PermissionError:
        sys.exit("no permission")
    try:
        there.sendall(b'"eject"\\n')
        print(there.recv(100))
    except ConnectionError:
        print(b"")
"""


@pytest.mark.parametrize("let_in", [False, True], ids=["as it is", "where the modes were opened by mistake"])
async def test_another_user_is_not_obeyed(let_in: bool) -> None:
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            os.setuid(NOBODY)
        return
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(Path(folder).chmod, 0o755)
        async with listening(Path(folder) / "sessions") as connection:
            if let_in:
                connection.folder.chmod(0o755)
                connection.path.chmod(0o666)
            command = [sys.executable, "-c", AS_NOBODY, str(connection.path), str(NOBODY)]
            tried = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            assert ("no permission" in tried.stderr, tried.stdout) == (not let_in, "b''\n" if let_in else "")
            assert connection.orders == []


async def test_what_a_killed_connection_has_left_is_removed_and_the_others_are_found(tmp_path: Path) -> None:
    async with listening(tmp_path / "sessions") as connection:
        left = connection.folder / "1.socket"
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(left))
        (connection.folder / "notes.txt").write_text("mine")
        assert running(connection.folder) == [connection.path]
        assert not left.exists()
        assert (connection.folder / "notes.txt").exists()
    assert running(tmp_path / "sessions") == []


def test_without_a_folder_nothing_runs(tmp_path: Path) -> None:
    assert running(tmp_path / "sessions") == []


async def test_where_no_socket_can_be_made_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("in the way")
    with pytest.raises(LinkError, match="sessions"):
        await Control(tmp_path / "sessions", {}).open()


async def test_a_folder_whose_name_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="too long"):
        await Control(tmp_path / ("x" * 100), {}).open()


async def test_who_does_not_answer_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "STATUS_DEADLINE", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "1.socket"))
        silent.listen()
        with pytest.raises(LinkError, match="did not answer"):
            await tell(tmp_path / "1.socket", ControlRequest.STATUS)


@pytest.mark.parametrize("said", [b"", b"{}\n", b"garbage\n", b"x" * (2 * MAX_LINE)], ids=range(4))
async def test_an_answer_that_is_none_is_an_error(said: bytes, tmp_path: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "1.socket")
    async with server:
        with pytest.raises(LinkError, match="did not answer"):
            await tell(tmp_path / "1.socket", ControlRequest.STATUS)


@pytest.mark.parametrize("platform", ["plan9", "freebsd14"])
async def test_on_a_system_that_does_not_tell_who_asks_no_order_is_taken(
    connection: Connection, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await asyncio.open_unix_connection(connection.path)
    monkeypatch.setattr(sys, "platform", platform)
    writer.write(b'"eject"\n')
    assert await _all_of(reader) == b""
    writer.close()
    assert connection.orders == []


async def test_a_program_of_another_user_that_listens_there_is_told_nothing(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "is_ours", lambda _: False)
    with pytest.raises(LinkError, match="another user"):
        await tell(connection.path, ControlRequest.EJECT)
    assert connection.orders == []


async def test_a_flood_of_orders_gets_no_more_than_the_rate(connection: Connection) -> None:
    for _ in range(control.RATE.burst + 50):
        with contextlib.suppress(LinkError):
            await tell(connection.path, ControlRequest.STATUS)
    assert control.RATE.burst <= len(connection.orders) < control.RATE.burst + 50
