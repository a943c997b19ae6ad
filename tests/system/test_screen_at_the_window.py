"""A login window elsewhere, seen in TigerVNC's viewer: log in there by the card here, log out, and see it again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lab import product
from lab.desktop import Desktop
from lab.hosts import CHECKOUT
from lab.processes import wait_until
from lab.product import SRA, World
from lab.screen import OwnScreen
from tests.system.parts import processes
from tests.system.screens import hash_of, listening, screen_world

PICTURES = CHECKOUT / "build" / "pictures"
BLUE, GREEN = (0x20, 0x42, 0x5F), (0x3B, 0x5F, 0x41)
"""The backgrounds of the login window and of the session (lab/desktop.py)."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with screen_world(settings="", viewer="") as world:
        world.add_person("ann", ["9A=RSA2048"])
        world.remote.run([SRA, "pam", "enable", "lightdm"])
        yield world


@pytest.fixture
def desktop(world: World) -> Iterator[Desktop]:
    desktop = Desktop(world.remote)
    desktop.start()
    desktop.wait_for_greeter()
    yield desktop
    desktop.stop()


@pytest.fixture(scope="module")
def own(world: World) -> OwnScreen:
    own = OwnScreen(world.admin)
    own.start()
    return own


def test_it_follows_the_remotes_resolution(world: World, desktop: Desktop, own: OwnScreen) -> None:
    connection = own.sra_screen(world.service, "software:ann")
    connection.wait_for("The remote's screen is shown.", 20)
    own.wait_for_colour(BLUE)
    assert own.viewer_size() == "1024x768"
    desktop.make_small()
    wait_until(lambda: own.viewer_size() == "800x600", "the viewer to follow", 10)
    own.wait_for_colour(BLUE)
    own.close_viewer()
    assert connection.wait(10) == 0, connection.output


def test_log_in_by_the_card_seen_in_the_viewer_log_out_and_see_the_window_again(
    world: World, desktop: Desktop, own: OwnScreen
) -> None:
    connection = own.sra_screen(world.service, "software:ann")
    connection.wait_for("The remote's screen is shown.", 20)
    own.wait_for_colour(BLUE)
    own.picture(PICTURES / "screen-1-login-window.png")

    product.wait_for_card(world.remote)
    own.press("Return", "Return")
    desktop.wait_for_session("ann")
    connection.wait_for("PIN asked on the PIN pad: right.")
    own.wait_for_colour(GREEN)
    own.picture(PICTURES / "screen-2-session.png")
    assert connection.output.count("screen is shown.") == 1

    desktop.log_out("ann")
    desktop.wait_for_greeter()
    back = time.monotonic()
    wait_until(lambda: connection.output.count("screen is shown.") == 2, "the screen to be shown again", 3)
    assert time.monotonic() - back < 3
    own.wait_for_colour(BLUE)
    own.picture(PICTURES / "screen-3-login-window-again.png")
    assert connection.output.count("The card is inserted") == 1
    assert hash_of(world.remote) == "!"
    assert listening(world.admin) == []
    assert [address for address in listening(world.remote) if not address.endswith((":4116", ":4117"))] == []

    own.close_viewer()
    assert connection.wait(10) == 0, connection.output
    wait_until(lambda: not any("X0tigervnc" in each for each in processes(world.remote)), "the server to end", 3)
