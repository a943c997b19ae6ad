"""How the viewer is started: with the password, but not where others see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sra.admin.screen import viewer as screen_viewer
from sra.admin.screen.viewer import Viewer, ViewerCredential, choose, macos, running, tigervnc
from sra.admin.screen.viewer_socket import open_door
from sra.errors import UsageError
from tests.loopback import until

CREDENTIAL = ViewerCredential("_srascreen", "p4ssw0rd")


def test_tigervnc_gets_the_socket_on_its_command_line_and_the_password_by_its_environment() -> None:
    with open_door(by_path=True) as door:
        argv = tigervnc(view_only=False).command(door, CREDENTIAL)
        assert argv[0] == "xtigervncviewer"
        assert argv[-1] == str(door.path)
        assert {"-SecurityTypes=Plain", "-AlertOnFatalError=0", "-ReconnectOnError=0", "-ViewOnly=0"} <= set(argv)
        assert not any(CREDENTIAL.password in word for word in argv)
        values = tigervnc(view_only=False).environment(CREDENTIAL, {"DISPLAY": ":0"})
        assert values == {"DISPLAY": ":0", "VNC_USERNAME": "_srascreen", "VNC_PASSWORD": "p4ssw0rd"}


def test_a_screen_to_be_watched_is_only_watched() -> None:
    assert "-ViewOnly=1" in tigervnc(view_only=True).argv


@pytest.mark.parametrize("clipboard", [False, True])
def test_the_clipboard_is_shared_only_where_the_person_wants_it(clipboard: bool) -> None:
    argv = choose([], "linux", clipboard=clipboard).argv
    for name in ("SendClipboard", "SendPrimary", "AcceptClipboard", "SetPrimary"):
        assert f"-{name}={int(clipboard)}" in argv
    assert choose(["my-viewer", "-c{clipboard}", "{socket}"], clipboard=clipboard).argv[1] == f"-c{int(clipboard)}"


def test_a_command_of_ones_own_says_where_the_place_goes() -> None:
    viewer = choose(["my-viewer", "--user={username}", "127.0.0.1:{port}"])
    assert not viewer.takes_path
    with open_door(by_path=False) as door:
        assert viewer.command(door, CREDENTIAL) == ("my-viewer", "--user=_srascreen", f"127.0.0.1:{door.port}")
    assert choose(["my-viewer", "{socket}"]).takes_path


def test_a_command_of_ones_own_never_gets_the_password_on_its_command_line() -> None:
    viewer = choose(["my-viewer", "{password}", "{port}"])
    with open_door(by_path=False) as door:
        assert viewer.command(door, CREDENTIAL)[1] == "{password}"


def test_a_command_without_a_place_is_no_viewer() -> None:
    with pytest.raises(UsageError, match=r"needs \{socket\} or \{port\}"):
        choose(["my-viewer"])


def test_each_platform_has_its_own() -> None:
    assert choose([], "linux") == tigervnc(view_only=False)
    assert choose([], "darwin") == macos()


def test_the_url_of_macos_is_quoted() -> None:
    with open_door(by_path=False) as door:
        argv = macos().command(door, ViewerCredential("a@b", "c:/d?"))
        assert argv == ("open", "-W", f"vnc://a%40b:c%3A%2Fd%3F@127.0.0.1:{door.port}")
    assert macos().environment(CREDENTIAL, {"HOME": "/x"}) == {"HOME": "/x"}


@pytest.mark.parametrize(("argv", "text"), [(("xtigervncviewer",), "No VNC viewer"), (("no-viewer",), "“no-viewer”")])
async def test_one_that_is_not_installed_is_named(
    argv: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sra.admin.screen.viewer.shutil.which", lambda _: None)
    with open_door(by_path=True) as door, pytest.raises(UsageError, match=text):
        async with running(Viewer(argv), door, CREDENTIAL):
            pass


async def test_it_ends_with_what_it_was_started_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_viewer, "STOP_DEADLINE", 0.2)
    for script, status in (("exec sleep 60", -15), ("trap '' TERM; touch $0; exec sleep 60", -9)):
        ready = tmp_path / str(status)
        with open_door(by_path=True) as door:
            viewer = Viewer(("sh", "-c", script, str(ready), "{socket}"))
            async with running(viewer, door, CREDENTIAL) as process:
                await until(lambda: status != -9 or ready.exists())  # noqa: B023 - looked at within this turn
            assert process.returncode == status
