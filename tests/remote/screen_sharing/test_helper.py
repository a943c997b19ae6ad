"""The root helper without root: a screen server that is a few lines, a password that is not the system's."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra.cli import screen_burn
from sra.errors import RefusalCode, RefusedError
from sra.remote.screen_sharing import helper as helper_module
from sra.remote.screen_sharing import sharing, vnc_linux
from sra.remote.screen_sharing.displays_linux import Display, NoDisplayError, RunningProcess
from sra.remote.screen_sharing.helper import Helper
from sra.remote.screen_sharing.link import ScreenLink
from sra.remote.screen_sharing.password import LOCKED, OnePassword
from sra.remote.screen_sharing.sharing import Place, Policy
from sra.remote.screen_sharing.vnc_linux import Account
from sra.remote.screen_sharing.wlroots_linux import Compositor
from tests.loopback import DEADLINE, run, until

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
BY = "ann (192.0.2.1)"


class Scene:
    """A helper, and whom its sockets take for srad and for PAM."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        self.folder = folder
        self.hashes: list[str] = []
        self.displays: list[Display | Compositor] = [DISPLAY]
        self.place = Place(folder / "server", Account("_srascreen", 2**31, 2**31), policy, self._find)
        self.place.folder.mkdir()
        self.password = OnePassword("_srascreen", self._set)
        self.helper = Helper(self.socket, self.place, os.geteuid(), self.password)

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


@pytest.fixture(autouse=True)
def _server_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    def arguments(display: str, socket: Path, account: Account, *, view_only: bool) -> Sequence[str]:
        return (sys.executable, "-c", SERVER, str(socket))

    monkeypatch.setattr(vnc_linux, "arguments", arguments)
    monkeypatch.setattr(vnc_linux, "_rights", lambda _: (None, None, None))


@asynccontextmanager
async def scene(tmp_path: Path, policy: Policy | None = None) -> AsyncIterator[Scene]:
    there = Scene(tmp_path, policy or Policy(notice=False))
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


def test_before_anything_else_the_account_is_locked(tmp_path: Path) -> None:
    async def body() -> None:
        async with scene(tmp_path) as there:
            assert there.hashes == [LOCKED]

    run(body())


def test_a_grant_has_a_server_and_a_password_and_ends_with_its_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with scene(tmp_path) as there:
            link = there.link()
            credential = await link.grant(BY, view_only=False)
            assert (credential.username, len(credential.password), credential.seconds) == ("_srascreen", 24, 60)
            assert there.hashes[-1].startswith("$6$")
            connection = await link.open()
            connection.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(connection, 12) == b"RFB 003.008\n"
            connection.close()
            link.close()
            await until(lambda: there.hashes[-1] == LOCKED and not is_alive(there.servers()[0]))
            await until(lambda: not there.place.socket.exists() and not there.place.cookies.exists())

    run(body())


def test_the_password_is_burned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with scene(tmp_path) as there:
            link = there.link()
            await link.grant(BY, view_only=False)
            monkeypatch.setattr(helper_module, "_user", lambda _: 2**31)
            burning = [asyncio.to_thread(screen_burn.burn, str(there.socket)) for _ in range(8)]
            assert sorted(await asyncio.gather(*burning)) == [False] * 7 + [True]
            assert there.hashes[-1] == LOCKED
            link.close()

    run(body())


def test_without_a_helper_nothing_is_burned_and_so_nobody_is_let_in(tmp_path: Path) -> None:
    assert not screen_burn.burn(str(tmp_path / "nobody"))


@pytest.mark.parametrize("uid", [2**31, 12345])
def test_who_may_not_ask_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(helper_module, "_user", lambda _: uid)

    async def body() -> None:
        async with scene(tmp_path) as there:
            for packet in (b'{"type":"grant","view_only":false,"by":"x"}', b'{"type":"open"}', b'{"type":"lock"}'):
                assert await raw(there, packet) == b""
            assert there.servers() == []
            assert there.hashes == [LOCKED]

    run(body())


def test_srad_may_not_burn_and_nobody_gets_an_answer_to_what_is_no_request(tmp_path: Path) -> None:
    async def body() -> None:
        async with scene(tmp_path) as there:
            for packet in (b'{"type":"burn"}', b"sh", b'{"type":"grant"}', b"x" * 5000):
                assert await raw(there, packet) == b""
            assert b"no share" in await raw(there, b'{"type":"open"}')
            assert await raw(there, b'{"type":"lock"}') == b'{"type":"done"}'

    run(body())


def test_one_who_leaves_before_the_answer_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body() -> None:
        async with scene(tmp_path) as there:
            there.displays.clear()
            link = there.link()
            granting = asyncio.create_task(link.grant(BY, view_only=False))
            await asyncio.sleep(0.05)
            link.close()
            with pytest.raises(RefusedError):
                await granting
            there.displays.append(DISPLAY)
            second = there.link()
            await second.grant(BY, view_only=False)
            second.close()

    run(body())


def test_the_screen_is_one_admins_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_module, "TURN_PATIENCE", 0.05)

    async def body() -> None:
        async with scene(tmp_path) as there:
            first, second = there.link(), there.link()
            await first.grant(BY, view_only=False)
            with pytest.raises(RefusedError, match=r"shared already: with ann \(192.0.2.1\)") as refused:
                await second.grant("bob", view_only=False)
            assert refused.value.code is RefusalCode.NOT_ALLOWED
            second.close()
            assert await asyncio.wait_for(first.open(), DEADLINE)
            first.close()

    run(body())


def test_an_unused_password_expires_and_a_used_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with scene(tmp_path, Policy(notice=False, expire=1)) as there:
            link = there.link()
            await link.grant(BY, view_only=False)
            assert await link.wait_ended() == "The screen's password was not used within 1 s."
            assert there.hashes[-1] == LOCKED
            used = there.link()
            await used.grant(BY, view_only=False)
            assert await there.password.burn()
            await asyncio.sleep(1.2)
            assert is_alive(there.servers()[-1])
            used.close()

    run(body())


def test_when_the_server_ends_the_grant_does_and_srad_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with scene(tmp_path) as there:
            link = there.link()
            await link.grant(BY, view_only=False)
            await there.password.burn()
            await until(lambda: bool(there.servers()))
            os.kill(there.servers()[0], 9)
            assert (await link.wait_ended()).startswith("The screen went away")
            with pytest.raises(RefusedError, match="went away"):
                await link.open()

    run(body())


def test_a_display_that_comes_soon_is_waited_for_and_one_that_does_not_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.3)

    async def body() -> None:
        async with scene(tmp_path) as there:
            there.displays.clear()
            link = there.link()
            with pytest.raises(RefusedError, match="no display") as refused:
                await link.grant(BY, view_only=False)
            assert refused.value.code is RefusalCode.NO_SCREEN
            link.close()
            asyncio.get_running_loop().call_later(0.1, there.displays.append, DISPLAY)
            again = there.link()
            await again.grant(BY, view_only=False)
            again.close()

    run(body())


def test_a_server_that_can_not_use_the_display_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.1)
    monkeypatch.setattr(vnc_linux, "arguments", lambda *_, **__: (sys.executable, "-c", "raise SystemExit(1)"))

    async def body() -> None:
        async with scene(tmp_path) as there:
            link = there.link()
            with pytest.raises(RefusedError, match="can't use the display"):
                await link.grant(BY, view_only=False)
            link.close()

    run(body())


def test_the_owner_may_share_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with scene(tmp_path, Policy(enabled=False)) as there:
            link = there.link()
            with pytest.raises(RefusedError, match="does not share") as refused:
                await link.grant(BY, view_only=False)
            assert refused.value.code is RefusalCode.NOT_ALLOWED
            link.close()

    run(body())


def test_a_wayland_session_is_not_shared_where_the_console_has_to_be_blanked(tmp_path: Path) -> None:
    async def body() -> None:
        async with scene(tmp_path, Policy(notice=False, blanked=True)) as there:
            there.displays = [Compositor(RunningProcess(1, 1000, ("sway",)))]
            link = there.link()
            with pytest.raises(RefusedError, match="wants its console blanked"):
                await link.grant(BY, view_only=False)
            assert there.servers() == []
            link.close()

    run(body())
