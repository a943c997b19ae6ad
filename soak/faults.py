"""What goes wrong: each fault stands while its ``with`` block runs, and says whose card has to go because of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.processes import LabError
from soak.place import CLOCK, Person, Place, command_of

AT_ONCE = 1.0
"""Seconds in which a card is gone when its cause can be seen at once: something ended, or the person said so."""
SILENCE = 10.0
"""Seconds in which it is gone when the cause is silence: a link is dead after 8, and the reader is empty by then."""
TIME_TO_END = 10.0
"""Seconds for a process that was told to end."""
SHORT, LONG = 2.0, 11.0
"""Seconds of silence that nobody is to notice, and that everybody is."""
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Effect:
    """What a fault does: since ``cause`` (monotonic time), the cards of ``gone`` have to be out ``within`` seconds.

    The cards of ``spared`` have to stay in.
    """

    cause: float
    gone: Sequence[Person] = ()
    within: float = AT_ONCE
    spared: Sequence[Person] = ()


@dataclass(frozen=True)
class Fault:
    """A fault. ``needs_share``: it is one of a shared screen's; ``kills``: a process ends by it."""

    kind: str
    name: str
    stand: Callable[[Place, Person], AbstractContextManager[Effect]]
    needs_share: bool = False
    kills: bool = False


def process_of(place: Place, part: str, person: Person) -> int:
    """The process id of a part of the product: of the person's own, where each has one."""
    if part == "sra connect":
        return place.connection_of(person).pid
    if part == "pcscd":
        return place.pcscd.pid
    if part == "sra remote run":
        return place.service.process.pid
    if part == "viewer":
        return place.viewer()
    return place.find(f"sra-card {place.reader_of(person)}" if part == "sra-card" else part)


def _everybody(place: Place) -> list[Person]:
    return [place.people[name] for name in ("ann", "bob")]


def _others(place: Place, person: Person) -> list[Person]:
    return [other for other in _everybody(place) if other is not person]


def _effect(place: Place, part: str, person: Person, within: float) -> Effect:
    """What it does that a part ends, or is silent for long."""
    cause = time.monotonic()
    if part in {"sra connect", "sra-card"}:
        return Effect(cause, [person], within, _others(place, person))
    if part in {"srad", "sra remote run"}:
        return Effect(cause, _everybody(place), within)
    return Effect(cause, spared=[place.people["ann"]])  # Bob's card is in with the share


# Processes


def killed(part: str, number: signal.Signals) -> Fault:
    """A process ends by a signal."""

    @contextmanager
    def stand(place: Place, person: Person) -> Iterator[Effect]:
        pid = process_of(place, part, person)
        effect = _effect(place, part, person, AT_ONCE)
        os.kill(pid, number)
        yield effect
        _wait_ended(pid)

    return Fault("killed", f"{part} gets {number.name}", stand, part in SHARING, kills=True)


def _wait_ended(pid: int) -> None:
    """What was told to end takes a moment, and only then is started again, as systemd does."""
    deadline = time.monotonic() + TIME_TO_END
    while command_of(pid):
        if time.monotonic() > deadline:
            raise LabError(f"a process did not end: {command_of(pid)}")
        time.sleep(0.05)


def stopped(part: str, seconds: float) -> Fault:
    """A process stands still for so many seconds."""

    @contextmanager
    def stand(place: Place, person: Person) -> Iterator[Effect]:
        pid = process_of(place, part, person)
        if seconds <= SHORT:
            effect = Effect(time.monotonic(), spared=_others(place, person))
        elif part in {"sra connect", "srad"}:
            effect = _effect(place, part, person, SILENCE)
        else:
            effect = Effect(time.monotonic(), spared=[])
        os.kill(pid, signal.SIGSTOP)
        try:
            yield effect
            time.sleep(max(0.0, effect.cause + seconds - time.monotonic()))
        finally:
            go_on(pid)

    return Fault("stopped", f"{part} stopped for {seconds:.0f} s", stand, part in SHARING)


def go_on(pid: int) -> None:
    """Continue a stopped process. ``nsenter`` stops with the program that it runs, and has to be continued first."""
    parent = _status(pid, "PPid")
    if "nsenter" in command_of(parent):
        os.kill(parent, signal.SIGCONT)
    os.kill(pid, signal.SIGCONT)


def _status(pid: int, field: str) -> int:
    """The first number of a field of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def without_descriptors(part: str, seconds: float = 3.0) -> Fault:
    """A running process can open no more files for some seconds."""

    @contextmanager
    def stand(place: Place, person: Person) -> Iterator[Effect]:
        pid = process_of(place, part, person)
        limits = Path(f"/proc/{pid}/limits").read_text()
        former = int(limits.partition("Max open files")[2].split()[0])
        numbers = [int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()]
        first_free = next(number for number in range(len(numbers) + 1) if number not in numbers)
        _limit_files(pid, first_free)
        try:
            yield Effect(time.monotonic(), spared=_everybody(place))
            time.sleep(seconds)
        finally:
            if Path(f"/proc/{pid}").exists():
                _limit_files(pid, former)

    return Fault("descriptors", f"{part} out of descriptors", stand)


def _limit_files(pid: int, most: int) -> None:
    """Set the soft limit; as the process's own user, since not every root may do it to others (CAP_SYS_RESOURCE)."""
    user, group = _status(pid, "Uid"), _status(pid, "Gid")
    become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--"]
    subprocess.run([*become, "prlimit", f"--pid={pid}", f"--nofile={most}:"], check=True)


def restarted_pcscd(place: Place, person: Person) -> AbstractContextManager[Effect]:
    """``systemctl restart pcscd``."""
    return _restarted_pcscd(place, person)


@contextmanager
def _restarted_pcscd(place: Place, person: Person) -> Iterator[Effect]:
    effect = Effect(time.monotonic(), spared=_everybody(place))
    place.pcscd.terminate()
    place.pcscd.wait(10)
    place.start_pcscd()
    yield effect


# The machines


def full(which: str, folder: str, seconds: float = 3.0) -> Fault:
    """There is no room left on the folder's disk (``DISKS``) for some seconds."""

    @contextmanager
    def stand(place: Place, person: Person) -> Iterator[Effect]:
        host = place.admin if which == "admin" else place.remote
        ballast = f"{folder.format(person=person.config)}/{BALLAST}"
        host.run(["sh", "-c", f"cat /dev/zero >{ballast}"], check=False)
        try:
            yield Effect(time.monotonic(), spared=_everybody(place))
            time.sleep(seconds)
        finally:
            host.run(["rm", ballast])

    return Fault("disk", f"no room in {folder.format(person='~')} of the {which}", stand)


def moved_clock(seconds: int) -> Fault:
    """The remote's time of day is another for some seconds."""

    @contextmanager
    def stand(place: Place, _: Person) -> Iterator[Effect]:
        effect = Effect(time.monotonic(), spared=_everybody(place))
        place.remote.write(CLOCK, f"{seconds:+d}\n")
        try:
            yield effect
            time.sleep(3)
        finally:
            place.remote.write(CLOCK, "+0\n")

    return Fault("clock", f"the remote's clock moved by {seconds / 3600:+g} h", stand)


def cut(seconds: float) -> Fault:
    """The cable is out for some seconds."""

    @contextmanager
    def stand(place: Place, _: Person) -> Iterator[Effect]:
        cause = time.monotonic()
        place.admin.cable(up=False)
        try:
            if seconds <= SHORT:
                yield Effect(cause, spared=_everybody(place))
            else:
                yield Effect(cause, _everybody(place), SILENCE)
            time.sleep(max(0.0, cause + seconds - time.monotonic()))
        finally:
            place.admin.cable(up=True)

    return Fault("link", f"the link cut for {seconds:.0f} s", stand)


@contextmanager
def _slow_link(place: Place, _: Person) -> Iterator[Effect]:
    """Some 8 kB a second in each direction."""
    rate = ["root", "tbf", "rate", "64kbit", "burst", "2kb", "latency", "500ms"]
    hosts = (place.admin, place.remote)
    for host in hosts:
        host.run(["tc", "qdisc", "add", "dev", "eth0", *rate])
    try:
        yield Effect(time.monotonic(), spared=_everybody(place))
        time.sleep(3)
    finally:
        for host in hosts:
            host.run(["tc", "qdisc", "del", "dev", "eth0", "root"])


BALLAST = ".ballast"
SHARING = ("sra-screen", "X0tigervnc", "viewer")
PARTS = ("sra connect", "srad", "sra-card", "pcscd", "sra remote run", *SHARING)
FAULTS: tuple[Fault, ...] = (
    *(killed(part, number) for part in PARTS for number in (signal.SIGKILL, signal.SIGTERM)),
    *(stopped(part, SHORT) for part in PARTS),
    *(stopped(part, LONG) for part in ("sra connect", "srad", "sra-card")),
    *(without_descriptors(part) for part in (*PARTS[:5], "sra-screen")),
    Fault("pcscd", "pcscd restarted", restarted_pcscd, kills=True),
    full("remote", "/var/log/sra"),
    full("remote", "/var/lib/sra"),
    full("remote", "/run/sra"),
    full("admin", "{person}"),
    moved_clock(3600),
    moved_clock(-3600),
    moved_clock(DAY),
    cut(SHORT),
    cut(LONG),
    Fault("slow", "a slow link", _slow_link),
)
