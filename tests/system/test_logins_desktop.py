"""The login window, and the locked screen, with the card of an admin elsewhere; a picture of each step is kept."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.desktop import DISPLAY, Desktop
from lab.hosts import CHECKOUT, two_hosts
from lab.processes import LabError, Process, wait_until
from lab.product import PIN, SRA, World, code_of, remote_at_work, wait_for_card
from tests.system.pin_pad import ASKS, Pad, at_pad

PICTURES = CHECKOUT / "build" / "pictures"
AUTOSTART = "/etc/xdg/autostart/sra-watch-removal.desktop"
SESSION = (
    "xterm -geometry 80x20+60+60",
    "xscreensaver --no-splash",
    f"$(sed -n s/^Exec=//p {AUTOSTART})",
)
LOG_IN = (608, 440)
"""Where the button is when the login has succeeded."""
AT_ONCE = 2.0
"""Seconds from the end of a connection to a locked screen."""
DEAD_LINK = 10.0
"""Seconds in which a dead link is found (test_cable.py)."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with two_hosts() as (admin, remote):
        world = remote_at_work(admin, remote)
        world.add_person("ann", ["9A=RSA2048"])
        world.add_person("bob", ["9A=P256"])
        remote.write("/home/ann/.xscreensaver", "mode:\tblank\nfade:\tFalse\nunfade:\tFalse\n", owner="ann")
        remote.run(["sh", "-c", 'umask 077; exec "$@"', "sh", SRA, "pam", "enable", "lightdm", "xscreensaver"])
        yield world


@pytest.fixture(scope="module")
def running(world: World) -> Iterator[Desktop]:
    desktop = Desktop(world.remote, autostart=SESSION)
    desktop.start()
    yield desktop
    desktop.stop()


@pytest.fixture
def desktop(running: Desktop) -> Desktop:
    running.wait_for_greeter()
    return running


def picture(desktop: Desktop, name: str) -> Path:
    path = PICTURES / f"{name}.png"
    desktop.picture(path)
    return path


def xscreensaver(world: World, order: str) -> str:
    of_ann = {"DISPLAY": DISPLAY, "XAUTHORITY": "/home/ann/.Xauthority"}
    done = world.remote.run(["xscreensaver-command", order], user="ann", env=of_ann, check=False)
    return done.stdout + done.stderr


def is_locked(world: World) -> bool:
    return "screen locked" in xscreensaver(world, "-time")


def wait_locked(world: World, *, locked: bool = True, timeout: float = 10) -> None:
    wait_until(lambda: is_locked(world) is locked, f"a screen that is locked: {locked}", timeout)


def log_in_on_the_pad(world: World, desktop: Desktop, connection: Process, account: str) -> None:
    """Neither name nor password, just Enter for both: the card says whose session it is."""
    wait_for_card(world.remote)
    desktop.press("Return", "Return")
    desktop.wait_for_session(account)
    connection.wait_for("PIN asked on the PIN pad: right.")


def last_word(world: World) -> str:
    """What the session's watch has logged last."""
    lines = world.remote.read("/home/ann/.xsession-errors").splitlines()
    return next((line for line in reversed(lines) if "sra.removal" in line), "")


def wait_ready_to_lock(world: World, desktop: Desktop) -> None:
    wait_until(lambda: desktop.windows("ann@remote"), "the session's terminal", 20)
    wait_until(lambda: "since" in xscreensaver(world, "-time"), "xscreensaver", 20)
    wait_until(lambda: "the card of ann is in" in last_word(world), "the watch to know the card", 10)


def is_asking(world: World) -> bool:
    """Whether the locked screen's own program for that runs."""
    return bool(world.remote.run(["pgrep", "-x", "xscreensaver-au"], check=False).stdout)


def press_until(desktop: Desktop, done: Callable[[], bool]) -> None:
    """Press Enter, which each message of the locked screen waits for."""
    for _ in range(8):
        if done():
            return
        desktop.press("Return")
        time.sleep(0.7)
    raise LabError("the locked screen went no further")


def unlock_on_the_pad(world: World, desktop: Desktop, pad: Pad, name: str) -> None:
    """The PIN is typed at the admin's terminal; at the locked screen nothing but Enter."""
    wait_for_card(world.remote)
    while not is_asking(world):
        desktop.press("shift")
        time.sleep(0.5)
    time.sleep(1)
    picture(desktop, f"{name}-message")
    press_until(desktop, lambda: ASKS in pad.output)
    pad.gives(ASKS, PIN)
    press_until(desktop, lambda: not is_locked(world))
    time.sleep(0.5)
    picture(desktop, f"{name}-unlocked")


def test_the_window_has_the_admin_asked_and_begins_the_session(world: World, desktop: Desktop) -> None:
    """The admin sits at a terminal and types the PIN there; on the remote nothing is typed but the name."""
    with at_pad(world) as pad:
        wait_for_card(world.remote)
        picture(desktop, "greeter-1-empty")
        desktop.type("ann")
        desktop.press("Return")
        assert "lightdm for ann" in pad.wait_for(ASKS)
        time.sleep(2)
        picture(desktop, "greeter-2-pin-pad")
        assert not desktop.has_session("ann")
        pad.gives("PIN of software:ann", PIN)
        desktop.wait_for("Authenticate result for user ann: Success", 10)
        time.sleep(1)
        picture(desktop, "greeter-3-log-in")
        desktop.click(*LOG_IN)  # a window that has asked nothing itself waits for that
        desktop.wait_for_session("ann")
        wait_until(lambda: desktop.windows("ann@remote"), "the session's terminal", 20)
        picture(desktop, "greeter-4-session")
        assert "Key 9A signed the" in pad.output
        desktop.log_out("ann")

        desktop.wait_for_greeter()  # and once more, by the same card on the same connection
        desktop.press("Return", "Return")
        pad.gives(ASKS, PIN)
        desktop.wait_for_session("ann")
        assert pad.output.count("The card is inserted") == 1
        assert "ejected" not in pad.output
        desktop.log_out("ann")


def test_with_a_session_code_the_window_asks_for_it(world: World, desktop: Desktop) -> None:
    with world.inserted("ann", entry="code") as connection:
        wait_for_card(world.remote)
        desktop.type("ann")
        desktop.press("Return")
        desktop.wait_for("Started with service 'lightdm', username 'ann'", 10)
        desktop.wait_for("Prompt greeter with", 10)
        time.sleep(1)
        picture(desktop, "code-1-asked")
        desktop.type(code_of(connection))
        desktop.press("Return")
        desktop.wait_for_session("ann")
        assert "PIN typed on the remote: right." in connection.output
        desktop.log_out("ann")


def test_an_admin_who_refuses_keeps_the_session_shut(world: World, desktop: Desktop) -> None:
    with world.inserted("ann", yes=False) as connection:
        wait_for_card(world.remote)
        desktop.type("ann")
        desktop.press("Return")
        connection.wait_for("PIN asked on the PIN pad: refused.")
        desktop.wait_for("Authenticate result for user ann: Authentication failure", 10)
        picture(desktop, "refused")
        assert not desktop.has_session("ann")
    desktop.restart()


def test_the_screen_locks_when_the_connection_ends_and_the_pin_opens_it_again(world: World, desktop: Desktop) -> None:
    with world.inserted("ann") as connection:
        log_in_on_the_pad(world, desktop, connection, "ann")
        wait_ready_to_lock(world, desktop)
        assert not is_locked(world)
    wait_locked(world, timeout=AT_ONCE)
    picture(desktop, "lock-1-locked")
    with at_pad(world) as pad:
        unlock_on_the_pad(world, desktop, pad, "lock-2")


def test_the_screen_locks_when_the_cable_is_cut(world: World, running: Desktop) -> None:
    with world.inserted("ann", "--no-reconnect"):
        wait_for_card(world.remote)
        wait_ready_to_lock(world, running)
        world.remote.cable(up=False)
        wait_locked(world, timeout=DEAD_LINK + AT_ONCE)
        world.remote.cable(up=True)
    with at_pad(world) as pad:
        unlock_on_the_pad(world, running, pad, "cable-2")
        running.log_out("ann")


def test_a_session_that_is_to_end_does(world: World, desktop: Desktop) -> None:
    world.remote.write("/etc/sra/srad.toml", '[login]\non_removal = "log-out"\n')
    with world.inserted("ann") as connection:
        log_in_on_the_pad(world, desktop, connection, "ann")
        wait_ready_to_lock(world, desktop)
    wait_until(lambda: not desktop.has_session("ann"), "the session's end", AT_ONCE)
    desktop.wait_for_greeter()
    picture(desktop, "log-out")
