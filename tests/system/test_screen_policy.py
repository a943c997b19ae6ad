"""What the remote's owner sets in [screen], and fifty shares in a row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.licenses import a_license
from lab.processes import children, wait_until
from lab.product import World, install_license, start_remote
from lab.screen import HELPER
from tests.system.parts import command_of, find, processes
from tests.system.screens import (
    COOKIE,
    SERVER,
    Asker,
    asking,
    hash_of,
    log_in,
    open_files,
    screen_world,
    start_x,
)

IN = "let in: 320x240"
TIMES = 50
ON_THE_SCREEN = {"DISPLAY": ":0", "XAUTHORITY": COOKIE}


@pytest.fixture(scope="module")
def place() -> Iterator[World]:
    with screen_world() as world:
        start_x(world.remote)
        world.add_person("ann")
        yield world


@contextmanager
def owner_wants(place: World, settings: str) -> Iterator[World]:
    """The remote with other settings, meanwhile."""
    former = place.remote.read("/etc/sra/srad.toml")
    place.service.process.terminate()
    place.service.process.wait()
    text = f"[limits]\nper_address = 1000\n[screen]\n{settings}\n"
    again = World(place.admin, place.remote, start_remote(place.remote, settings=text))
    place.remote.run(["sh", "-c", f"until test -S {HELPER}; do sleep 0.02; done"])
    try:
        yield again
    finally:
        again.service.process.terminate()
        again.service.process.wait()
        place.remote.write("/etc/sra/srad.toml", former)


def windows(world: World) -> list[str]:
    listed = world.remote.run(["xwininfo", "-root", "-tree"], env=ON_THE_SCREEN).stdout.splitlines()
    return [line for line in listed if "+" in line]


def state_of(world: World) -> tuple[object, ...]:
    """What must not grow: processes, open files, files of the screen and of the password files."""
    helper = next(pid for pid in children(world.service.process.pid) if "sra_screen" in command_of(pid))
    pids = [find(world, "srad"), helper]
    files = world.remote.run(
        ["sh", "-c", "find /run/sra /etc/*lock /etc/.pwd.lock /tmp -not -path '/tmp/.X11*'"], check=False
    )
    return sorted(processes(world.remote)), open_files(world.remote, pids), files.stdout, hash_of(world.remote)


def test_fifty_shares_in_a_row_leave_nothing_behind(place: World) -> None:
    with asking(place, "ann") as ann:
        one_share(ann)
        wait_until(lambda: hash_of(place.remote) == "!", "the first to be over", 5)
        wait_until(lambda: not any("X0tigervnc" in command for command in processes(place.remote)), "its server", 5)
        before = state_of(place)
        begun = time.monotonic()
        for _ in range(TIMES):
            one_share(ann)
        assert time.monotonic() - begun < TIMES
        wait_until(lambda: state_of(place) == before, f"the state to be as before: {before}", 5)


def one_share(ann: Asker) -> None:
    ann.grant()
    assert ann.say("stream") == IN
    ann.say("close")


def test_an_unused_password_and_its_ticket_expire(place: World) -> None:
    with owner_wants(place, "password_seconds = 1") as world, asking(world, "ann") as ann:
        _, username, password = ann.grant()
        granted = time.monotonic()
        assert log_in(world.remote, SERVER, username, "wrong").refusal != ""
        wait_until(lambda: hash_of(world.remote) == "!", "the password to expire", 3)
        assert time.monotonic() - granted < 3
        wait_until(lambda: world.remote.run(["test", "-e", SERVER], check=False).returncode, "the server to end", 3)
        assert log_in(world.remote, SERVER, username, password).size == (0, 0)
        assert ann.say("stream") == "the server closed the connection after b''"
        one_share(ann)


def test_who_uses_the_password_in_time_stays(place: World) -> None:
    with owner_wants(place, "password_seconds = 1") as world, asking(world, "ann") as ann:
        ann.grant()
        assert ann.say("stream") == IN
        time.sleep(1.5)
        assert any("X0tigervnc" in command for command in processes(world.remote))


def test_a_screen_that_is_not_shared(place: World) -> None:
    with owner_wants(place, "enabled = false") as world, asking(world, "ann") as ann:
        assert ann.say("grant") == "The owner of this remote does not share its screen."


def test_a_license_without_the_screen(place: World) -> None:
    with owner_wants(place, "") as world, asking(world, "ann") as ann:
        install_license(world.remote, a_license(features=("remote-access",)))
        assert ann.say("grant").startswith("The license of remote does not include screen sharing.")
        assert hash_of(world.remote) == "!"
        install_license(world.remote, a_license())
        share_of(ann)


def test_a_screen_that_may_only_be_watched(place: World) -> None:
    with owner_wants(place, "view_only = true") as world, asking(world, "ann") as ann:
        share_of(ann)
        assert any("-AcceptKeyEvents=0" in command for command in processes(world.remote))


def share_of(ann: Asker) -> None:
    ann.grant()
    assert ann.say("stream") == IN


def test_a_notice_says_with_whom_it_is_shared(place: World) -> None:
    with owner_wants(place, "notice = true") as world, asking(world, "ann") as ann:
        before = len(windows(world))
        share_of(ann)
        wait_until(lambda: len(windows(world)) == before + 1, "the notice", 5)
        shown = next(command for command in processes(world.remote) if "display_x11 notice" in command)
        assert "This screen is shared with ann (" in shown
        ann.say("close")
        wait_until(lambda: len(windows(world)) == before, "the notice to go", 5)


@contextmanager
def somebody_logged_in(world: World) -> Iterator[None]:
    session = world.remote.start(["sleep", "600"], user="ann", env={"DISPLAY": ":0"})
    wait_until(lambda: "sleep 600" in processes(world.remote), "a session", 5)
    try:
        yield
    finally:
        session.kill()


@pytest.mark.parametrize("answer", ["Allow", "Refuse", "nothing"])
def test_who_is_logged_in_there_is_asked(place: World, answer: str) -> None:
    with (
        owner_wants(place, "consent = true\nconsent_seconds = 5") as world,
        asking(world, "ann") as ann,
        somebody_logged_in(world),
    ):
        click = f"until xdotool search --name 'Secure Remote Access'; do sleep 0.05; done; {CLICKS[answer]}"
        clicking = world.remote.start(["sh", "-c", click], env=ON_THE_SCREEN)
        begun = time.monotonic()
        said = ann.say("grant")
        clicking.wait(5)
        assert ("did not allow it" in said) is (answer != "Allow")
        assert (time.monotonic() - begun > 4) is (answer == "nothing")


BUTTON = (
    "eval $(xdotool search --name 'Secure Remote Access' getwindowgeometry --shell); "
    "xdotool mousemove $((X + {x})) $((Y + HEIGHT - 18)) click 1"
)
CLICKS = {"Allow": BUTTON.format(x=30), "Refuse": BUTTON.format(x=90), "nothing": "true"}


def test_nobody_is_asked_at_a_login_window(place: World) -> None:
    with owner_wants(place, "consent = true\nconsent_seconds = 120") as world, asking(world, "ann") as ann:
        share_of(ann)


def test_without_x_the_admin_is_told_what_to_set(place: World) -> None:
    with asking_without_x(place) as (world, ann):
        assert ann.say("grant").startswith("There is no screen to share: no X display runs.")
        wayland = world.remote.start(["bash", "-c", "exec -a Xwayland sleep 60"])
        assert ann.say("grant").startswith("The screen can't be shared while it is a Wayland session: have X11 used")
        wayland.kill()


@contextmanager
def asking_without_x(place: World) -> Iterator[tuple[World, Asker]]:
    with owner_wants(place, "") as world:
        world.remote.run(["pkill", "-KILL", "Xvfb"])
        world.remote.run(["rm", "-f", "/tmp/.X11-unix/X0", "/tmp/.X0-lock"])
        with asking(world, "ann") as ann:
            yield world, ann
