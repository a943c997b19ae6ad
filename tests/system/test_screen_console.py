"""The console of a remote whose owner has it blanked: Xorg itself, with a keyboard that somebody types at."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from lab.console import DISPLAY, KEYBOARD, MOUSE, Console
from lab.hosts import CHECKOUT
from lab.processes import children, wait_until
from lab.product import PYTHON, World
from tests.system.parts import command_of, processes
from tests.system.screens import SERVER, Asker, asking, audited, hash_of, screen_world

IN = "let in: 640x480"
AUDIT = "/var/log/sra/audit.jsonl"
SETTINGS = """\
[limits]
per_address = 1000
[screen]
console = "blanked"
consent = true
consent_seconds = 120
"""
TYPED = "/run/typed"
A, B, C, RETURN = 38, 56, 54, 36
"""Keys (X's key codes, as on every PC)."""
DUSK = 0.5
"""How bright the monitor is before: what is put back is not what every monitor begins with."""
VIEWER = f"""\
import sys
from pathlib import Path
from tests.rfb_client import RfbClient
client = RfbClient(Path("{SERVER}"))
client.log_in(sys.argv[1], sys.stdin.readline().strip())
for key in (ord("v"), ord("n"), ord("c"), 0xFF0D):
    client.press(key)
print(max(client.screen()))
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with screen_world(SETTINGS) as world:
        world.add_person("ann")
        yield world


@pytest.fixture(scope="module")
def console(world: World) -> Console:
    console = Console(world.remote)
    console.start()
    reading = f"while read -r line; do echo $line >>{TYPED}; done"
    world.remote.start(["xterm", "-geometry", "200x80+0+0", "-e", "sh", "-c", reading], env=console.environment)
    world.remote.run(["xdotool", "search", "--sync", "--onlyvisible", "--class", "xterm"], env=console.environment)
    world.remote.run(["xset", "s", "off"], env=console.environment)
    return console


@pytest.fixture(autouse=True)
def _is_as_before(world: World, console: Console) -> Iterator[None]:
    """Before each test and after it, the console is as it should be, and can be typed at."""
    console.set_brightness(DUSK)
    world.remote.run(["rm", "-f", TYPED])
    console.plug_in()
    assert type_here(world, console) == ["abc"]
    yield
    wait_until(lambda: not any("console_x11" in command for command in processes(world.remote)), "its end", 5)
    assert (console.brightness(), console.is_on(KEYBOARD), console.is_on(MOUSE)) == (DUSK, True, True)
    console.plug_in()
    assert type_here(world, console)[-1:] == ["abc"]


def type_here(world: World, console: Console) -> list[str]:
    """What has been typed in all, when somebody has typed at the console; nothing if it took no key."""
    before = len(typed(world))
    if not console.type(A, B, C, RETURN):
        return []
    wait_until(lambda: len(typed(world)) > before, "what was typed", 5)
    return typed(world)


def typed(world: World) -> list[str]:
    return world.remote.run(["cat", TYPED], check=False).stdout.split()


def is_blanked(console: Console) -> bool:
    return (console.brightness(), console.is_on(KEYBOARD), console.is_on(MOUSE)) == (0, False, False)


@contextmanager
def shared(world: World) -> Iterator[Asker]:
    with asking(world, "ann") as ann:
        wait_until(lambda: ann.say("grant").startswith("["), "a helper", 10)
        assert ann.say("stream") == IN
        yield ann


def test_the_admin_sees_and_types_while_the_console_is_dark_and_deaf(world: World, console: Console) -> None:
    with asking(world, "ann") as ann:
        _, username, password = ann.grant()
        assert is_blanked(console)
        assert type_here(world, console) == []
        view = world.remote.run([PYTHON, "-c", VIEWER, username], input=f"{password}\n", folder=CHECKOUT)
        assert view.stdout == "255\n"
        wait_until(lambda: typed(world) == ["abc", "vnc"], "what the admin typed", 5)
        assert is_blanked(console)


def test_what_others_set_before_and_meanwhile_is_as_they_want_it_at_the_end(world: World, console: Console) -> None:
    console.switch(MOUSE, "disable")
    with shared(world) as ann:
        console.set_brightness(0.7)
        console.switch(KEYBOARD, "enable")
        wait_until(lambda: is_blanked(console), "the console to be blanked again", 5)
        ann.say("close")
        wait_until(lambda: console.is_on(KEYBOARD), "the console to be put back", 5)
        assert (console.brightness(), console.is_on(MOUSE)) == (0.7, False)
    console.switch(MOUSE, "enable")
    console.set_brightness(DUSK)


def part(world: World, word: str) -> int:
    """The helper, or a program that it has started, by its command."""
    helper = next(pid for pid in children(world.service.process.pid) if "sra_screen" in command_of(pid))
    return next(pid for pid in [helper, *children(helper)] if word in command_of(pid))


def test_the_console_comes_back_when_the_helper_is_killed(world: World, console: Console) -> None:
    with shared(world):
        os.kill(part(world, "sra_screen"), signal.SIGKILL)
        wait_until(lambda: console.brightness() == DUSK, "the console to be put back", 5)


def test_the_share_ends_when_the_console_can_be_kept_blanked_no_longer(world: World, console: Console) -> None:
    with shared(world):
        os.kill(part(world, "console_x11"), signal.SIGKILL)
        wait_until(lambda: console.brightness() == DUSK, "the console to be put back", 5)
        wait_until(lambda: audited(world.remote, AUDIT)[-1]["event"] == "screen-ended", "the end to be told", 5)
    assert audited(world.remote, AUDIT)[-1]["reason"] == "The console is blanked no longer."


def test_a_helper_that_starts_puts_back_what_was_killed_with_the_one_before(world: World, console: Console) -> None:
    with shared(world):
        helper, program = part(world, "sra_screen"), part(world, "console_x11")
        for number in (signal.SIGSTOP, signal.SIGKILL):
            os.kill(program, number)
            os.kill(helper, number)
        wait_until(lambda: console.brightness() == DUSK, "the console to be put back", 10)


def test_a_console_that_can_not_be_blanked_is_not_shared(world: World) -> None:
    """Another X server, of a lower number, has no RandR."""
    without = world.remote.start(["Xvfb", ":0", "-extension", "RANDR", "-screen", "0", "320x240x24"])
    wait_until(lambda: world.remote.run(["test", "-S", "/tmp/.X11-unix/X0"], check=False).returncode == 0, "Xvfb", 10)
    with asking(world, "ann") as ann:
        assert ann.say("grant") == (
            "The owner of this remote has its console blanked while it is shared; that fails: "
            "its X server has no gamma ramp for every monitor."
        )
        assert hash_of(world.remote) == "!"
    without.terminate()
    without.wait()


def test_who_is_logged_in_there_is_asked_before(world: World, console: Console) -> None:
    session = world.remote.start(["sleep", "600"], user="ann", env={"DISPLAY": DISPLAY})
    wait_until(lambda: "sleep 600" in processes(world.remote), "a session", 5)
    with asking(world, "ann") as ann:
        answer = Thread(target=ann.say, args=("grant",))
        answer.start()
        find = ["xdotool", "search", "--sync", "--name", "Secure Remote Access"]
        world.remote.run(find, env=console.environment)
        assert (console.brightness(), console.is_on(KEYBOARD)) == (DUSK, True)
        assert "Meanwhile this screen is dark" in "".join(processes(world.remote))
        world.remote.run(["pkill", "xmessage"])
        answer.join()
    session.kill()
