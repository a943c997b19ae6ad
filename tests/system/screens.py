"""A screen on the remote to be shared, and how the tests look at what is shared, open or left over."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from lab.hosts import CHECKOUT, Host, two_hosts
from lab.processes import Process, end, wait_until
from lab.product import PYTHON, World, remote_at_work
from lab.screen import ACCOUNT, HELPER, add_screen_account
from tests.rfb_client import Attempt

SERVER = "/run/sra/screen/server/vnc"
COOKIE = "/run/x-cookie"
NOTES = "/root/viewer-notes"
SETTINGS = """\
[limits]
per_address = 1000

[screen]
notice = false
"""
SMALL_VIEWER = (
    f'viewer = ["env", "PYTHONPATH={CHECKOUT}", "{PYTHON}", "-m", "tests.small_viewer", "{{socket}}", "{NOTES}"]\n'
)


def start_x(remote: Host, display: int = 0) -> Process:
    """An X server with a cookie, as a display manager would start it; returns when it can be used."""
    key = "0123456789abcdef0123456789abcdef"
    remote.run(["xauth", "-f", COOKIE, "add", f":{display}", ".", key], check=False)
    screen = ["-nolisten", "tcp", "-noreset", "-screen", "0", "320x240x24"]
    server = remote.start(["Xvfb", f":{display}", "-auth", COOKIE, *screen])
    socket = f"/tmp/.X11-unix/X{display}"
    wait_until(lambda: remote.run(["test", "-S", socket], check=False).returncode == 0, "the X server", 10)
    return server


@contextmanager
def screen_world(settings: str = SETTINGS, viewer: str = SMALL_VIEWER) -> Iterator[World]:
    """Both machines with the remote at work, and a screen that can be shared; the X server has to be started."""
    with two_hosts() as (admin, remote):
        add_screen_account(remote)
        world = remote_at_work(admin, remote, settings=settings)
        world.service.process.wait_for("sra-screen runs")
        remote.run(["sh", "-c", f"until test -S {HELPER}; do sleep 0.02; done"])
        admin.write("/root/.config/sra/config.toml", viewer)
        yield world


def hash_of(remote: Host) -> str:
    """What stands for the account's password (shadow(5)): ``!`` where none is right."""
    line = next(line for line in remote.read("/etc/shadow").splitlines() if line.startswith(f"{ACCOUNT}:"))
    return line.split(":")[1]


def notes(admin: Host) -> list[str]:
    """What the small viewer has noted, without the times."""
    lines = admin.run(["cat", NOTES], check=False).stdout.splitlines()
    return [line.partition(" ")[2] for line in lines]


def wait_for_notes(admin: Host, count: int, within: float = 10) -> list[str]:
    """Return when the small viewer has noted so many lines."""
    wait_until(lambda: len(notes(admin)) >= count, f"{count} notes of the viewer", within)
    return notes(admin)


def close_viewer(admin: Host) -> None:
    """As a person closes its window."""
    admin.write(f"{NOTES}.close", "")


def log_in(host: Host, place: str, username: str, password: str, *, user: str | None = None) -> Attempt:
    """Try to open a screen with the small client, from the host itself."""
    done = host.run(
        [PYTHON, "-m", "tests.rfb_client", place, username], input=f"{password}\n", folder=CHECKOUT, user=user
    )
    said = done.stdout.strip()
    if not said.startswith("let in: "):
        return Attempt((0, 0), said)
    width, height = said.removeprefix("let in: ").split("x")
    return Attempt((int(width), int(height)), "")


def audited(host: Host, path: str, prefix: str = "screen") -> list[dict[str, object]]:
    """The events of the screen that the host's audit trail tells of, refusals too: each with its name and facts."""
    refusals = path.replace(".jsonl", "-refusals.jsonl")
    text = host.run(["sh", "-c", f"cat {path} {refusals} 2>/dev/null || true"]).stdout
    lines = sorted(map(json.loads, text.splitlines()), key=lambda line: datetime.fromisoformat(line["time"]))
    return [{"event": line["event"], **line["facts"]} for line in lines if line["event"].startswith(prefix)]


def listening(host: Host) -> list[str]:
    """Every TCP and UDP socket that takes what comes in: its local address and port."""
    lines = host.run(["ss", "--listening", "--tcp", "--udp", "--numeric", "--no-header"]).stdout.splitlines()
    return sorted(line.split()[4] for line in lines)


def open_files(host: Host, pids: Sequence[int]) -> int:
    """How many files the processes (as the machine counts them) have open."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


class Asker:
    """An admin who obeys line by line (grants.py)."""

    def __init__(self, world: World, name: str) -> None:
        command: list[str | Path] = [PYTHON, "-m", "tests.system.grants", world.service.fingerprint, f"software:{name}"]
        self._process = subprocess.Popen(
            world.admin.command(command, folder=CHECKOUT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._answer() == "connected"

    def say(self, order: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return str(json.loads(self._process.stdout.readline()))

    def grant(self) -> tuple[str, str, str]:
        """Ticket, name and password."""
        ticket, username, password = json.loads(self.say("grant"))
        return ticket, username, password

    def end(self) -> None:
        """End the session in order."""
        self._process.communicate("bye\n", timeout=10)

    def kill(self) -> None:
        """End at once."""
        end(self._process)


@contextmanager
def asking(world: World, name: str) -> Iterator[Asker]:
    asker = Asker(world, name)
    try:
        yield asker
    finally:
        asker.kill()
