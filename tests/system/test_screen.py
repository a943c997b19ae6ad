"""The remote's screen, shared for real: X0tigervnc, PAM and chpasswd there, a small client on the admin's side."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import product
from lab.hosts import CHECKOUT
from lab.processes import Process, children, wait_until
from lab.product import PYTHON, World
from lab.screen import ACCOUNT, HELPER
from tests.rfb_client import Attempt
from tests.system.parts import command_of, find, processes
from tests.system.screens import (
    SERVER,
    asking,
    audited,
    close_viewer,
    hash_of,
    listening,
    log_in,
    screen_world,
    start_x,
    wait_for_notes,
)

SHOWN = "shown 320x240 000000"
IN = "let in: 320x240"
REFUSED = "Authentication failure: invalid password or username"
NO_STREAM = "the server closed the connection after b''"
PORTS = ["0.0.0.0:4116", "127.0.0.1:4117", "[::]:4116"]
REMOTE_AUDIT, ADMIN_AUDIT = "/var/log/sra/audit.jsonl", "/root/.config/sra/audit.jsonl"
RACE = f"""\
import sys, threading
from pathlib import Path
from tests.rfb_client import RfbClient, RfbRefusedError

def enter(client):
    try:
        client.log_in("{ACCOUNT}", password)
    except RfbRefusedError:
        return
    inside.append(client)

password, inside = sys.stdin.readline().strip(), []
clients = [RfbClient(Path("{SERVER}")) for _ in range(2)]
threads = [threading.Thread(target=enter, args=(client,)) for client in clients]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(inside))
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with screen_world() as world:
        start_x(world.remote)
        for name in ("ann", "bob"):
            world.add_person(name)
        yield world


@pytest.fixture(autouse=True)
def _nothing_is_left(world: World) -> Iterator[None]:
    """After each test: no password is right, no server runs, and nothing listens that did not before."""
    world.admin.run(["sh", "-c", "rm -f /root/viewer-notes*"])
    yield
    wait_until(lambda: not screen_processes(world), "the screen server to end", 5)
    wait_until(lambda: hash_of(world.remote) == "!", "the account to be locked", 5)
    assert world.remote.run(["find", "/run/sra/screen/server", "-mindepth", "1"]).stdout == ""
    assert listening(world.remote) == PORTS
    assert listening(world.admin) == []
    assert world.admin.run(["sh", "-c", "ls -d /tmp/sra-screen-* 2>&1 || true"]).stdout.startswith("ls: cannot access")


def screen_processes(world: World) -> list[str]:
    return [
        command for command in processes(world.remote) if "X0tigervnc" in command or "display_x11 notice" in command
    ]


@contextmanager
def shown(world: World, name: str = "ann") -> Iterator[Process]:
    """A connection that shows the screen."""
    connection = product.connect(world.admin, world.service, f"software:{name}", "--slots", "9A", "--screen")
    try:
        assert wait_for_notes(world.admin, 1) == [SHOWN], connection.output
        yield connection
    finally:
        connection.terminate()
        connection.wait()


def test_the_screen_is_shown_and_the_connection_outlives_the_viewer(world: World) -> None:
    with shown(world) as connection:
        assert listening(world.remote) == PORTS
        assert listening(world.admin) == []
        assert hash_of(world.remote) == "!"
        close_viewer(world.admin)
        connection.wait_for("The viewer was closed.")
        wait_until(lambda: not screen_processes(world), "the screen server to end", 2)
        product.wait_for_card(world.remote)
        assert connection.is_running


def test_sra_screen_ends_with_the_viewer_and_both_sides_wrote_it_down(world: World) -> None:
    command: list[str | Path] = [
        product.SRA,
        "screen",
        "remote",
        "--card",
        "software:ann",
        "--cards-dir",
        product.CARDS,
    ]
    given = ["--pin-fd", "3", "--fingerprint", world.service.fingerprint, "--yes", "--slots", "9A"]
    world.admin.write(product.PIN_FILE, f"{product.PIN}\n", mode=0o600)
    running = world.admin.start(["sh", "-c", f'exec "$@" 3<{product.PIN_FILE}', "sh", *command, *given])
    assert wait_for_notes(world.admin, 1) == [SHOWN]
    close_viewer(world.admin)
    assert running.wait(5) == 0, running.output
    ours = audited(world.admin, ADMIN_AUDIT)[-2:]
    assert [event["event"] for event in ours] == ["screen-opened", "screen-closed"]
    theirs = audited(world.remote, REMOTE_AUDIT)[-3:]
    assert [event["event"] for event in theirs] == ["screen-granted", "screen-started", "screen-ended"]
    assert {event["account"] for event in theirs} == {"ann"}
    assert theirs[-1]["reason"] == ours[-1]["reason"] == "The viewer was closed."
    assert (theirs[-1]["sent"], theirs[-1]["received"]) == (ours[-1]["received"], ours[-1]["sent"])
    assert int(str(ours[-1]["received"])) > 320 * 240 * 4


def test_nobody_can_read_the_password_but_the_viewers_own_user(world: World) -> None:
    where = ["/etc", "/run", "/var/log", "/var/lib/sra", "/root/.config"]
    with shown(world) as connection:
        viewer = world.admin.run(["pgrep", "-f", "small_viewer"]).stdout.split()[-1]
        values = dict(
            line.split("=", 1) for line in world.admin.read(f"/proc/{viewer}/environ").split("\0") if "=" in line
        )
        password = values["VNC_PASSWORD"]
        assert (values["VNC_USERNAME"], len(password)) == (ACCOUNT, 24)
        for host in (world.admin, world.remote):
            assert password not in host.run(["ps", "-e", "-o", "args="]).stdout
            search = ["grep", "--recursive", "--devices=skip", "--fixed-strings", "--files-with-matches", password]
            assert host.run([*search, *where], check=False).stdout == ""
        assert password not in world.service.process.output + connection.output
        refused = world.admin.run(["cat", f"/proc/{viewer}/environ"], user="nobody", check=False)
        assert (refused.returncode, refused.stdout) == (1, "")


def test_after_a_log_out_there_it_is_shown_again_by_itself(world: World) -> None:
    with shown(world) as connection:
        world.remote.run(["pkill", "-KILL", "Xvfb"])
        world.remote.run(["rm", "-f", "/tmp/.X11-unix/X0", "/tmp/.X0-lock"])
        wait_until(lambda: "no X display runs" in world.service.process.output, "the remote to find no screen", 10)
        start_x(world.remote)
        back = time.monotonic()
        assert wait_for_notes(world.admin, 2) == [SHOWN, SHOWN]
        assert time.monotonic() - back < 3
        assert connection.output.count("The card is inserted") == 1


def test_the_end_of_the_session_ends_the_viewer(world: World) -> None:
    with shown(world) as connection:
        world.admin.run(["sh", "-c", f"mv {product.CARDS}/ann* /tmp/"])
        assert connection.wait(10) == 4
        world.admin.run(["sh", "-c", f"mv /tmp/ann* {product.CARDS}/"])
    assert "small_viewer" not in "".join(processes(world.admin))


def test_a_password_works_once(world: World) -> None:
    with asking(world, "ann") as ann:
        _, username, password = ann.grant()
        assert hash_of(world.remote).startswith("$6$")
        assert ann.say("stream") == IN
        assert hash_of(world.remote) == "!"
        assert log_in(world.remote, SERVER, username, password).refusal == REFUSED
        assert ann.say("stream") == NO_STREAM
        ann.say("close")
        assert ann.say("stream") == NO_STREAM
        second = ann.grant()
        assert second[2] != password
        assert log_in(world.remote, SERVER, username, password).refusal == REFUSED


def test_a_wrong_password_does_not_burn_the_right_one(world: World) -> None:
    with asking(world, "ann") as ann:
        _, username, password = ann.grant()
        before = hash_of(world.remote)
        for wrong in ("", password[:-1], password.swapcase()):
            assert log_in(world.remote, SERVER, username, wrong).refusal != ""
        assert log_in(world.remote, SERVER, "root", password).refusal != ""
        assert hash_of(world.remote) == before
        assert ann.say("stream") == IN


def test_of_two_in_the_same_moment_one_gets_in(world: World) -> None:
    with asking(world, "ann") as ann:
        for _ in range(3):
            _, _, password = ann.grant()
            done = world.remote.run([PYTHON, "-c", RACE], input=f"{password}\n", folder=str(CHECKOUT))
            assert done.stdout == "1\n"


def test_a_ticket_dies_with_its_session_and_is_nobody_elses(world: World) -> None:
    with asking(world, "ann") as ann, asking(world, "bob") as bob:
        values = ann.say("grant")
        bob.say(f"use {values}")
        ann.end()
        wait_until(lambda: hash_of(world.remote) == "!", "the account to be locked", 2)
        assert bob.say("stream") == NO_STREAM
    told = [each["event"] for each in audited(world.remote, REMOTE_AUDIT)]
    assert "screen-ticket-refused" in told  # the first of a minute; more of them are counted


def test_a_ticket_is_not_good_from_another_address(world: World) -> None:
    with asking(world, "ann") as ann:
        values = ann.grant()
        script = (
            "import asyncio, sys, ssl\n"
            "from sra.transport.tls_trust import client_context\n"
            "async def main():\n"
            "    reader, writer = await asyncio.open_connection("
            "'10.116.0.2', 4116, ssl=client_context(None, ['sra-screen/1']))\n"
            "    writer.write(bytes.fromhex(sys.stdin.readline()))\n"
            "    print(len(await reader.read()))\n"
            "asyncio.run(main())\n"
        )
        done = world.admin.run([PYTHON, "-c", script], input=f"{values[0]}\n")
        assert done.stdout == "0\n"
        assert ann.say("stream") == IN  # the session's own address, by IPv6


def test_the_screen_is_one_admins_at_a_time(world: World) -> None:
    with asking(world, "ann") as ann, asking(world, "bob") as bob:
        ann.grant()
        assert ann.say("stream") == IN
        assert bob.say("grant").startswith("The screen is shared already: with ann (")
        ann.say("close")
        bob.grant()
        assert bob.say("stream") == IN


def test_other_local_users_reach_neither_the_helper_nor_the_server(world: World) -> None:
    knock = (
        "import socket, sys\n"
        "knocking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "knocking.settimeout(5)\n"
        "try:\n"
        f"    knocking.connect('{HELPER}')\n"
        "    knocking.send(sys.argv[1].encode())\n"
        "    print(knocking.recv(4096))\n"
        "except (BrokenPipeError, ConnectionResetError, PermissionError):\n"
        "    print(b'')\n"
    )
    orders = ['{"type":"grant","view_only":false,"by":"x"}', '{"type":"open"}', '{"type":"lock"}', '{"type":"burn"}']
    with asking(world, "ann") as ann:
        _, username, password = ann.grant()
        before = hash_of(world.remote)
        for order in orders:
            assert world.remote.run(["python3", "-c", knock, order], user="nobody").stdout == "b''\n"
        for order in orders[:3]:
            assert world.remote.run(["python3", "-c", knock, order], user=ACCOUNT).stdout == "b''\n"
        reach = f"import socket; socket.socket(socket.AF_UNIX).connect('{SERVER}')"
        assert "PermissionError" in world.remote.run(["python3", "-c", reach], user="nobody", check=False).stderr
        assert hash_of(world.remote) == before
        assert ann.say("stream") == IN
    assert isinstance(log_in(world.remote, SERVER, username, password), Attempt)


VIEWER_AFTER_A_STRANGER = f"""\
setpriv --reuid=65534 --clear-groups -- python3 -c '
import socket, sys
print(socket.create_connection(("127.0.0.1", int(sys.argv[1]))).recv(1))
' "$1" >/root/stranger 2>&1
PYTHONPATH={CHECKOUT} exec {PYTHON} -m tests.small_viewer "$1" /root/viewer-notes
"""


def test_other_local_users_do_not_come_in_by_the_viewers_door(world: World) -> None:
    """A viewer that takes a port: somebody else is there first, and is cut off."""
    settings = "/root/.config/sra/config.toml"
    former = world.admin.read(settings)
    world.admin.write("/root/viewer.sh", VIEWER_AFTER_A_STRANGER)
    world.admin.write(settings, 'viewer = ["sh", "/root/viewer.sh", "{port}"]\n')
    try:
        with shown(world):
            assert world.admin.read("/root/stranger") == "b''\n"
            assert listening(world.admin) == []
    finally:
        world.admin.write(settings, former)


@pytest.mark.parametrize("part", ["srad", "sra-screen", "X0tigervnc"])
def test_a_process_is_killed_while_the_screen_is_shared(world: World, part: str) -> None:
    victims = {
        "srad": lambda: find(world, "srad"),
        "sra-screen": lambda: helper_of(world),
        "X0tigervnc": lambda: server_of(world),
    }
    with shown(world):
        server = server_of(world)
        os.kill(victims[part](), signal.SIGKILL)
        wait_until(lambda: not command_of(server), "the screen server to end", 1)
        assert wait_for_notes(world.admin, 2, 20) == [SHOWN, SHOWN]
        assert hash_of(world.remote) == "!"


def helper_of(world: World) -> int:
    return next(pid for pid in children(world.service.process.pid) if "sra_screen" in command_of(pid))


def server_of(world: World) -> int:
    return next(pid for pid in children(helper_of(world)) if "X0tigervnc" in command_of(pid))
