"""A Wayland session on the remote, shared for real: sway, wayvnc and swaynag there, PAM and chpasswd as for X."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import product
from lab.processes import Process, wait_until
from lab.product import World
from lab.screen import ACCOUNT
from lab.sway import PRESSED, SwaySession
from tests.system.screens import (
    SERVER,
    Asker,
    asking,
    close_viewer,
    hash_of,
    listening,
    log_in,
    screen_world,
    wait_for_notes,
)
from tests.system.test_screen import NO_STREAM, PORTS, REFUSED
from tests.system.test_screen_policy import owner_wants

SHOWN = "shown 640x480 604020"
IN = "let in: 640x480"
ALLOW, REFUSE = 520, 610
"""Where swaynag's buttons are, from the left."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with screen_world() as world:
        world.add_person("ann")
        yield world


@pytest.fixture
def session(world: World) -> Iterator[SwaySession]:
    session = SwaySession(world.remote, "ann")
    running = session.start()
    yield session
    running.kill()
    session.log_out()
    wait_until(lambda: not ours(world), "what served it to end", 5)
    wait_until(lambda: hash_of(world.remote) == "!", "the account to be locked", 5)
    assert world.remote.run(["find", "/run/sra/screen/server", "-mindepth", "1"]).stdout == ""


def ours(world: World) -> list[str]:
    """The programs of the screen's account."""
    return world.remote.run(["ps", "--user", ACCOUNT, "-o", "args="], check=False).stdout.splitlines()


@contextmanager
def shown(world: World) -> Iterator[Process]:
    """A connection that shows the screen."""
    world.admin.run(["sh", "-c", "rm -f /root/viewer-notes*"])
    connection = product.connect(world.admin, world.service, "software:ann", "--slots", "9A", "--screen")
    try:
        assert wait_for_notes(world.admin, 1) == [SHOWN], connection.output
        yield connection
    finally:
        connection.terminate()
        connection.wait()


def test_it_is_shown_and_takes_keys_without_a_port_and_without_rights(world: World, session: SwaySession) -> None:
    with shown(world) as connection:
        wait_until(lambda: world.remote.run(["test", "-e", PRESSED], check=False).returncode == 0, "Escape", 5)
        door, wayvnc = sorted(ours(world))
        assert door.endswith("sra.remote.screen_sharing.wayland.wayvnc_proxy /run/sra/screen/server/vnc")
        assert wayvnc == "wayvnc --unix-socket /run/sra/screen/server/wayvnc"
        modes = world.remote.run(["stat", "-c", "%a %U", "/run/sra/screen/server", SERVER, f"{SERVER[:-3]}wayvnc"])
        assert modes.stdout.splitlines() == [f"700 {ACCOUNT}", f"600 {ACCOUNT}", f"600 {ACCOUNT}"]
        assert listening(world.remote) == PORTS
        assert hash_of(world.remote) == "!"
        kill(world, "wayvnc_proxy")
        assert wait_for_notes(world.admin, 2) == 2 * [SHOWN]
        assert len(ours(world)) == 2
        close_viewer(world.admin)
        connection.wait_for("The viewer was closed.")
        assert connection.is_running


def test_it_comes_back_after_a_log_out_and_after_its_server_was_killed(world: World, session: SwaySession) -> None:
    with shown(world):
        kill(world, "wayvnc --unix-socket")
        assert wait_for_notes(world.admin, 2) == 2 * [SHOWN]
        session.log_out()
        wait_until(lambda: hash_of(world.remote) == "!" and not ours(world), "the share to end", 5)
        session.start()
        assert wait_for_notes(world.admin, 3) == 3 * [SHOWN]


def kill(world: World, part: str) -> None:
    world.remote.run(["pkill", "-KILL", "--euid", ACCOUNT, "--full", part])


def test_the_password_works_once_and_a_wrong_one_burns_nothing(world: World, session: SwaySession) -> None:
    with asking(world, "ann") as ann:
        _, username, password = ann.grant()
        before = hash_of(world.remote)
        for name, wrong in ((username, password[:-1]), ("root", password), ("ann", "\u00e9" * 65)):
            assert log_in(world.remote, SERVER, name, wrong).size == (0, 0)
        assert hash_of(world.remote) == before
        assert ann.say("stream") == IN
        assert hash_of(world.remote) == "!"
        assert log_in(world.remote, SERVER, username, password).refusal == REFUSED
        assert ann.say("stream") == NO_STREAM


def test_a_session_that_anybody_could_have_started_is_not_shared(world: World) -> None:
    """From a shell without the console, to be taken for the machine's screen."""
    session = SwaySession(world.remote, "ann")
    running = session.start(at_console=False)
    try:
        with asking(world, "ann") as ann:
            assert ann.say("grant").startswith("The screen can't be shared while it is a Wayland session: have X11")
    finally:
        running.kill()
        session.log_out()


def test_who_is_logged_in_is_asked_and_told_and_a_watched_screen_takes_no_keys(
    world: World, session: SwaySession
) -> None:
    session.take_the_mouse()
    settings = "consent = true\nconsent_seconds = 20\nview_only = true"
    with owner_wants(world, settings) as again, asking(again, "ann") as ann:
        assert "did not allow it" in answered(ann, session, REFUSE)
        assert ours(world) == []
        answered(ann, session, ALLOW)
        assert ann.say("stream") == IN
        assert any(command.startswith("wayvnc --disable-input ") for command in ours(world))
        wait_until(lambda: notice_of(world), "the notice", 5)
        assert any("This screen is shared with ann (" in command for command in ours(world))
        first = notice_of(world)
        session.click(625, 15)
        wait_until(lambda: notice_of(world) not in {"", first}, "the notice to be back", 5)


def answered(ann: Asker, session: SwaySession, button: int) -> str:
    """What the admin is told when the person there presses that button."""
    clicking = session.answer(button, 15)
    said = ann.say("grant")
    clicking.kill()
    return said


def notice_of(world: World) -> str:
    """The process id of the line on the screen; empty if there is none."""
    return world.remote.run(["pgrep", "--euid", ACCOUNT, "--exact", "swaynag"], check=False).stdout.strip()
