"""A login window elsewhere, seen in TigerVNC's viewer: log in there by the card here, log out, and see it again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import product
from lab.desktop import Desktop
from lab.hosts import CHECKOUT, Host
from lab.processes import Process, wait_until
from lab.product import SRA, World
from tests.system.parts import processes
from tests.system.screens import hash_of, listening, screen_world

PICTURES = CHECKOUT / "build" / "pictures"
HERE = {"DISPLAY": ":9"}
"""The admin's own screen."""
WINDOW = "Secure Remote Access - TigerVNC"
BLUE, GREEN = (0x20, 0x42, 0x5F), (0x3B, 0x5F, 0x41)
"""The backgrounds of the login window and of the session (lab/desktop.py)."""
MIDDLE = (200, 600)
"""A place on the admin's screen, inside of the viewer, where only the background is seen."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with screen_world(settings="", viewer="") as world:
        world.add_person("ann", ["9A=RSA2048"])
        world.remote.run([SRA, "pam", "enable", "lightdm"])
        start_own_screen(world.admin)
        yield world


def start_own_screen(admin: Host) -> None:
    """With a window manager, since a viewer without one never gets the keyboard."""
    admin.start(["Xvfb", ":9", "-nolisten", "tcp", "-screen", "0", "1100x850x24"])
    wait_until(lambda: admin.run(["test", "-S", "/tmp/.X11-unix/X9"], check=False).returncode == 0, "a screen", 10)
    admin.start(["openbox"], env=HERE)


@pytest.fixture
def desktop(world: World) -> Iterator[Desktop]:
    desktop = Desktop(world.remote)
    desktop.start()
    desktop.wait_for_greeter()
    yield desktop
    desktop.stop()


def start_sra_screen(world: World) -> Process:
    command: list[str | Path] = [SRA, "screen", "remote", "--card", "software:ann", "--cards-dir", product.CARDS]
    given = ["--pin-fd", "3", "--fingerprint", world.service.fingerprint, "--yes", "--slots", "9A"]
    world.admin.write(product.PIN_FILE, f"{product.PIN}\n", mode=0o600)
    return world.admin.start(["sh", "-c", f'exec "$@" 3<{product.PIN_FILE}', "sh", *command, *given], env=HERE)


def picture(admin: Host, name: str) -> Path:
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    admin.run(["import", "-window", "root", path], env=HERE)
    return path


def colour(path: Path, place: tuple[int, int]) -> tuple[int, ...]:
    crop = f"1x1+{place[0]}+{place[1]}"
    shown = subprocess.run(["convert", path, "-crop", crop, "-depth", "8", "rgb:-"], capture_output=True, check=True)
    return tuple(shown.stdout)


def wait_for_colour(admin: Host, name: str, wanted: tuple[int, int, int], within: float = 10) -> None:
    """Return when the viewer shows that background; the picture is kept."""

    def seen() -> bool:
        shown = colour(picture(admin, name), MIDDLE)
        return all(abs(one - other) < 12 for one, other in zip(shown, wanted, strict=True))

    wait_until(seen, f"{wanted} in {name}.png", within)


def press_in_the_viewer(admin: Host, *keys: str) -> None:
    admin.run(["xdotool", "search", "--sync", "--name", WINDOW, "windowactivate", "--sync"], env=HERE)
    admin.run(["xdotool", "key", "--delay", "60", *keys], env=HERE)


def test_log_in_by_the_card_seen_in_the_viewer_log_out_and_see_the_window_again(world: World, desktop: Desktop) -> None:
    connection = start_sra_screen(world)
    connection.wait_for("The remote's screen is shown.", 20)
    wait_for_colour(world.admin, "screen-1-login-window", BLUE)

    product.wait_for_card(world.remote)
    press_in_the_viewer(world.admin, "Return", "Return")
    desktop.wait_for_session("ann")
    connection.wait_for("PIN asked on the PIN pad: right.")
    wait_for_colour(world.admin, "screen-2-session", GREEN)
    assert connection.output.count("screen is shown.") == 1

    desktop.log_out("ann")
    desktop.wait_for_greeter()
    back = time.monotonic()
    wait_until(lambda: connection.output.count("screen is shown.") == 2, "the screen to be shown again", 3)
    assert time.monotonic() - back < 3
    wait_for_colour(world.admin, "screen-3-login-window-again", BLUE)
    assert connection.output.count("The card is inserted") == 1
    assert hash_of(world.remote) == "!"
    assert listening(world.admin) == []
    assert [address for address in listening(world.remote) if not address.endswith((":4116", ":4117"))] == []

    world.admin.run(["xdotool", "search", "--name", WINDOW, "windowclose"], env=HERE)
    assert connection.wait(10) == 0, connection.output
    wait_until(lambda: not any("X0tigervnc" in each for each in processes(world.remote)), "the server to end", 3)
