"""The screen server's command line and environment."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from sra.remote.screen_sharing import screen_account, templates
from sra.remote.screen_sharing.recording import recorder as recording_linux
from sra.remote.screen_sharing.screen_account import ScreenAccount, ServerError
from sra.remote.screen_sharing.x11 import vnc_linux
from sra.system.processes import stop

ACCOUNT = ScreenAccount("_srascreen", 999, 999)


def test_the_server_listens_at_a_socket_and_at_no_port() -> None:
    argv = vnc_linux.arguments(":0", Path("/run/vnc"), ACCOUNT, view_only=False)
    assert {"-rfbport=-1", "-rfbunixpath=/run/vnc", "-rfbunixmode=384", "-display=:0"} <= set(argv)
    assert int("600", 8) == 384


def test_only_a_name_and_password_that_pam_checks_let_anybody_in() -> None:
    argv = vnc_linux.arguments(":0", Path("/run/vnc"), ACCOUNT, view_only=False)
    assert {"-SecurityTypes=Plain", "-PlainUsers=_srascreen", "-PAMService=sra-vnc", "-NeverShared=1"} <= set(argv)


@pytest.mark.parametrize("view_only", [True, False])
def test_a_screen_to_be_watched_takes_neither_keys_nor_clicks(view_only: bool) -> None:
    argv = vnc_linux.arguments(":0", Path("/run/vnc"), ACCOUNT, view_only=view_only)
    for option in ("-AcceptKeyEvents=0", "-AcceptPointerEvents=0"):
        assert (option in argv) is view_only


def test_nothing_of_roots_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    values = vnc_linux.environment(":0", Path("/run/cookie"))
    assert values == {"DISPLAY": ":0", "XAUTHORITY": "/run/cookie", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


async def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(ServerError, match="no-such-program is not installed"):
        await screen_account.start(["no-such-program"], ACCOUNT, vnc_linux.environment(":0", Path("/run/cookie")))


async def test_a_server_that_does_not_begin_to_listen_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_account, "START_DEADLINE", 0.05)
    process = await asyncio.create_subprocess_exec("sleep", "60")
    with pytest.raises(ServerError, match="does not begin to listen"):
        await screen_account.wait_until_it_listens(process, tmp_path / "vnc", "X0tigervnc")
    await stop(process, 5)
    assert process.returncode == -15


def test_what_is_asked_and_shown_says_who_it_is() -> None:
    assert vnc_linux.question("ann (192.0.2.1)", 30)[-1].startswith("ann (192.0.2.1)\nwants to see this screen")
    assert "\nThis too.\n" in vnc_linux.question("ann", 30, "This too.")[-1]
    assert vnc_linux.notice("ann (192.0.2.1)", "12:03")[-1] == (
        "This screen is shared with ann (192.0.2.1) since 12:03."
    )


def test_who_is_recorded_is_told() -> None:
    assert "work at it.\nIt will be recorded.\n" in vnc_linux.question("ann", 30, recording_linux.REMARK)[-1]
    assert vnc_linux.notice("ann", "12:03", recorded=True)[-1] == (
        "This screen is recorded and shared with ann since 12:03."
    )


def test_pam_burns_the_password_with_this_interpreter_and_this_socket() -> None:
    service = templates.pam_service(Path("/opt/sra/bin/python"), Path("/run/sra/screen/helper")).decode()
    last = service.splitlines()[-1].split()
    assert last[:4] == ["account", "required", "pam_exec.so", "quiet"]
    assert last[4:] == ["/opt/sra/bin/python", "-I", "-m", "sra.programs.screen_burn", "/run/sra/screen/helper"]
    assert "@" not in service


def test_the_unit_starts_the_helper_and_may_become_another_user() -> None:
    unit = templates.helper_service(Path("/opt/sra/bin")).decode()
    assert "ExecStart=/opt/sra/bin/sra-screen\n" in unit
    assert "NoNewPrivileges=" not in unit
    assert re.findall("@[A-Z]+@", unit) == []
