"""A login window without a monitor: when it is refused, when LightDM is started again, and when nobody is disturbed."""

from collections.abc import Sequence

import pytest

from sra.remote.activation import runner, virtual_screen_linux
from sra.remote.activation.changed_machine import ActivationError
from sra.remote.activation.journal import Requested
from sra.remote.activation.steps import Folder, Step
from sra.remote.activation.steps_linux import shipped
from sra.remote.activation.undo import LOGIN_WINDOW
from sra.remote.activation.virtual_screen_linux import FOLDER, SETTINGS, VirtualScreen, check, monitors
from tests.remote.activation.world import World

STEPS: Sequence[Step] = (Folder(FOLDER), VirtualScreen(SETTINGS, b"settings"))
RESTART = ("systemctl", "restart", LOGIN_WINDOW)
INSTALLED = ("usr/sbin/lightdm", "usr/share/xgreeters/any-greeter.desktop", "usr/bin/Xvfb", "usr/bin/X0tigervnc")


@pytest.fixture
def installed(world: World) -> World:
    """A machine that has what a virtual screen needs, and no screen."""
    for name in INSTALLED:
        world.write(name, "")
    world.write("/etc/lightdm/lightdm.conf", "[LightDM]\n#logind-check-graphical=true\n[Seat:*]\n#xserver-command=X\n")
    return world


def activate(world: World, steps: Sequence[Step] = STEPS) -> bool:
    return runner.activate(world.machine, steps, Requested(virtual_screen=True), lambda _: None)


def deactivate(world: World) -> list[str]:
    """What was told."""
    told: list[str] = []
    runner.deactivate(world.machine, told.append)
    return told


def test_a_machine_without_a_screen_can_have_one(installed: World) -> None:
    before = installed.tree()
    check(installed.machine)
    assert installed.tree() == before
    assert installed.programs.ran == []


@pytest.mark.parametrize(
    ("name", "package"),
    list(zip(INSTALLED, ("lightdm", "lightdm-gtk-greeter", "xvfb", "tigervnc-scraping-server"), strict=True)),
)
def test_what_is_not_installed_is_named_by_its_package(installed: World, name: str, package: str) -> None:
    (installed.root / name).unlink()
    with pytest.raises(ActivationError, match=rf"apt-get install {package}$"):
        check(installed.machine)


def test_everything_that_is_missing_is_named_at_once(world: World) -> None:
    with pytest.raises(ActivationError, match=r"install lightdm lightdm-gtk-greeter xvfb tigervnc-scraping-server$"):
        check(world.machine)


def test_a_machine_that_shows_a_screen_needs_none(installed: World) -> None:
    activate(installed)
    with pytest.raises(ActivationError, match="shows a screen already"):
        check(installed.machine)


@pytest.mark.parametrize("path", ["/etc/lightdm/lightdm.conf", f"{FOLDER}/50-mine.conf"])
@pytest.mark.parametrize(
    ("line", "setting"),
    [
        ("xserver-command=/usr/local/bin/x", "xserver-command"),
        (" xserver-command = X", "xserver-command"),
        ("logind-check-graphical=true", "logind-check-graphical"),
        ("logind-check-graphical = falsely", "logind-check-graphical"),
    ],
)
def test_settings_that_lightdm_would_follow_instead_are_named(
    installed: World, path: str, line: str, setting: str
) -> None:
    installed.write(path, f"[Seat:*]\n{line}\n")
    with pytest.raises(ActivationError, match=f"{path.rpartition('/')[2]} sets {setting}"):
        check(installed.machine)


@pytest.mark.parametrize("line", ["# xserver-command=X", "xserver-layout=a", "logind-check-graphical = false"])
def test_settings_that_change_nothing_are_left_alone(installed: World, line: str) -> None:
    installed.write("/etc/lightdm/lightdm.conf", f"[Seat:*]\n{line}\n")
    check(installed.machine)


def test_lightdm_is_started_with_the_settings_even_if_it_has_failed_too_often(world: World) -> None:
    before = world.tree()
    world.programs.active.clear()
    assert activate(world)
    assert world.programs.ran == [("systemctl", "reset-failed", LOGIN_WINDOW), RESTART]
    assert world.programs.has_virtual_screen
    assert not activate(world)
    deactivate(world)
    assert world.tree() == before


def test_a_lightdm_that_was_stopped_since_is_started_by_the_next_activation(world: World) -> None:
    activate(world)
    world.programs.active.clear()
    world.programs.ran.clear()
    assert activate(world)
    assert RESTART in world.programs.ran


@pytest.mark.parametrize("is_somebody_logged_in", [False, True])
def test_a_screen_that_is_up_is_not_ended_for_other_settings(world: World, is_somebody_logged_in: bool) -> None:
    activate(world)
    world.is_somebody_logged_in = is_somebody_logged_in
    world.programs.ran.clear()
    assert activate(world, (Folder(FOLDER), VirtualScreen(SETTINGS, b"others")))
    assert (world.root / SETTINGS.removeprefix("/")).read_bytes() == b"others"
    assert world.programs.ran == []


def test_a_session_is_not_ended_by_the_deactivation_which_says_what_to_do(world: World) -> None:
    before = world.tree()
    activate(world)
    world.is_somebody_logged_in = True
    world.programs.ran.clear()
    assert any(f"systemctl restart {LOGIN_WINDOW}" in text for text in deactivate(world))
    assert not any(LOGIN_WINDOW in argv for argv in world.programs.ran)
    assert world.tree() == before


def test_a_lightdm_that_does_not_run_is_not_started_by_the_deactivation(world: World) -> None:
    activate(world)
    world.programs.active.clear()
    world.programs.ran.clear()
    deactivate(world)
    assert not any(LOGIN_WINDOW in argv for argv in world.programs.ran)


def test_monitors_are_what_is_plugged_in(world: World) -> None:
    assert monitors(world.machine) == []
    world.write("/sys/class/drm/card0-HDMI-A-1/status", "connected\n")
    world.write("/sys/class/drm/card0-DP-1/status", "disconnected\n")
    assert monitors(world.machine) == ["card0-HDMI-A-1"]


def test_the_settings_name_the_program() -> None:
    lines = shipped("lightdm.conf", BIN="/opt/sra/bin").decode().splitlines()
    assert "xserver-command=/opt/sra/bin/sra-virtual-screen" in lines
    assert "logind-check-graphical=false" in lines
    assert virtual_screen_linux.SETTINGS.startswith("/etc/lightdm/lightdm.conf.d/")
