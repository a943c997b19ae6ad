"""The root helper without root: a screen server that is a few lines, a password that is not the system's."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from sra.errors import RefusalCode, RefusedError
from sra.programs import screen_burn
from sra.remote.screen_sharing import helper as helper_module
from sra.remote.screen_sharing import share as sharing
from sra.remote.screen_sharing.password import LOCKED
from sra.remote.screen_sharing.share import Policy
from sra.remote.screen_sharing.wayland.wlroots_linux import Compositor
from sra.remote.screen_sharing.x11 import vnc_linux
from sra.remote.screen_sharing.x11.displays_linux import RunningProcess
from tests.loopback import DEADLINE, until
from tests.remote.screen_sharing.helper_scene import BY, DISPLAY, is_alive, raw, scene, use_programs_of_the_test


@pytest.fixture(autouse=True)
def _programs_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    use_programs_of_the_test(monkeypatch)


async def test_before_anything_else_the_account_is_locked(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        assert there.hashes == [LOCKED]


async def test_what_a_killed_helper_left_is_removed_when_the_next_one_starts(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    for name in ("cookie", "vnc"):
        (tmp_path / "server" / name).write_bytes(b"left")
    async with scene(tmp_path) as there:
        assert not there.place.socket.exists()
        assert not there.place.cookies.exists()


async def test_a_folder_in_the_place_of_a_file_bars_no_share(tmp_path: Path) -> None:
    """The screen's account could have made it."""
    (tmp_path / "server/cookie/full").mkdir(parents=True)
    async with scene(tmp_path) as there:
        link = there.link()
        await link.grant(BY, view_only=False)
        there.place.cookies.unlink()
        (there.place.cookies / "full").mkdir(parents=True)
        link.close()
        await until(lambda: not there.place.cookies.exists())
        link = there.link()
        await link.grant(BY, view_only=False)
        link.close()


async def test_a_grant_has_a_server_and_a_password_and_ends_with_its_connection(tmp_path: Path) -> None:
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


async def test_the_password_is_burned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path) as there:
        link = there.link()
        await link.grant(BY, view_only=False)
        monkeypatch.setattr(helper_module, "peer_user", lambda _: 2**31)
        burning = [asyncio.to_thread(screen_burn.burn, str(there.socket)) for _ in range(8)]
        assert sorted(await asyncio.gather(*burning)) == [False] * 7 + [True]
        assert there.hashes[-1] == LOCKED
        link.close()


def test_without_a_helper_nothing_is_burned_and_so_nobody_is_let_in(tmp_path: Path) -> None:
    assert not screen_burn.burn(str(tmp_path / "nobody"))


OF_SRAD = [
    b'{"type":"grant","view_only":false,"by":"x"}',
    *(b'{"type":"%s"}' % word for word in (b"open", b"lock", b"collect")),
    b'{"type":"written","name":"x"}',
]


@pytest.mark.parametrize("uid", [2**31, 12345])
async def test_who_may_not_ask_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(helper_module, "peer_user", lambda _: uid)
    async with scene(tmp_path) as there:
        for packet in OF_SRAD:
            assert await raw(there, packet) == b""
        assert there.servers() == []
        assert there.hashes == [LOCKED]


async def test_srad_may_not_burn_and_nobody_gets_an_answer_to_what_is_no_request(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        for packet in (b'{"type":"burn"}', b"sh", b'{"type":"grant"}', b"x" * 5000):
            assert await raw(there, packet) == b""
        assert b"no share" in await raw(there, b'{"type":"open"}')
        assert await raw(there, b'{"type":"lock"}') == b'{"type":"done"}'


async def test_one_who_leaves_before_the_answer_leaves_nothing_behind(tmp_path: Path) -> None:
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


async def test_the_screen_is_one_admins_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_module, "TURN_PATIENCE", 0.05)
    async with scene(tmp_path) as there:
        first, second = there.link(), there.link()
        await first.grant(BY, view_only=False)
        with pytest.raises(RefusedError, match=r"shared already: with ann \(192.0.2.1\)") as refused:
            await second.grant("bob", view_only=False)
        assert refused.value.code is RefusalCode.NOT_ALLOWED
        second.close()
        assert await asyncio.wait_for(first.open(), DEADLINE)
        first.close()


async def test_an_unused_password_expires_and_a_used_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_when_the_server_ends_the_grant_does_and_srad_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path) as there:
        link = there.link()
        await link.grant(BY, view_only=False)
        await there.password.burn()
        await until(lambda: bool(there.servers()))
        os.kill(there.servers()[0], 9)
        assert (await link.wait_ended()).startswith("The screen went away")
        with pytest.raises(RefusedError, match="went away"):
            await link.open()


async def test_a_display_that_comes_soon_is_waited_for_and_one_that_does_not_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.3)
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


async def test_a_server_that_can_not_use_the_display_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.1)
    monkeypatch.setattr(vnc_linux, "arguments", lambda *_, **__: (sys.executable, "-c", "raise SystemExit(1)"))
    async with scene(tmp_path) as there:
        link = there.link()
        with pytest.raises(RefusedError, match="can't use the display"):
            await link.grant(BY, view_only=False)
        link.close()


async def test_what_ends_by_itself_while_the_helper_does_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop would cancel it at its own end; what is about to start a program then may hang for ever."""
    changing, may_change = asyncio.Event(), asyncio.Event()

    async def change(account: str, value: str) -> None:
        changing.set()
        await may_change.wait()
        there.hashes.append(value)

    async with scene(tmp_path) as there:
        link = there.link()
        await link.grant(BY, view_only=False)
        monkeypatch.setattr(there.password, "_setting", change)
        os.kill(there.servers()[0], signal.SIGKILL)
        await changing.wait()
        asyncio.get_running_loop().call_later(0.1, may_change.set)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    link.close()


async def test_the_owner_may_share_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, Policy(enabled=False)) as there:
        link = there.link()
        with pytest.raises(RefusedError, match="does not share") as refused:
            await link.grant(BY, view_only=False)
        assert refused.value.code is RefusalCode.NOT_ALLOWED
        link.close()


async def test_a_wayland_session_is_not_shared_where_the_console_has_to_be_blanked(tmp_path: Path) -> None:
    async with scene(tmp_path, Policy(notice=False, blanked=True)) as there:
        there.displays = [Compositor(RunningProcess(1, 1000, ("sway",)))]
        link = there.link()
        with pytest.raises(RefusedError, match="wants its console blanked"):
            await link.grant(BY, view_only=False)
        assert there.servers() == []
        link.close()
