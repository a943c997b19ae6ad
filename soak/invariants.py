"""The rules that hold all the time. Each compares what was seen with what may be, and returns what is wrong.

The functions without a ``Place`` take what was seen as values, so that a test can show each of them a violation.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lab.hosts import Host
from lab.screen import ACCOUNT
from soak.faults import Effect
from soak.place import PIN, Place, command_of
from soak.readers import Event
from sra import audit
from sra.ledger import refusals_path

SETTLES = 4.0
"""Seconds after a step for what it began to end: a stopped process's last words, a viewer, a screen server."""
TELLTALES = ("Traceback (most recent call last)", "This is a defect", "was never retrieved", "was never awaited")
"""In a log, each means a bug."""
FOLDERS = {
    "admin": ("tmp", "dev/shm", "run", "root/ann", "root/bob", "root/cid", "root/cards", "root/.config/sra"),
    "remote": ("tmp", "dev/shm", "run", "root/work", "etc/sra", "var/lib/sra", "var/log/sra"),
}
"""Where the product writes, and where everybody may."""
SOCKET = re.compile(r"/sessions/\d+\.socket$")
"""Its name has the number of a process."""
LOG = re.compile(r"audit(-refusals)?(-\d{6})?\.jsonl|sra\.(log|old)(\.\d)?")
"""Made with the first line and kept; what is in them is looked at, and not whether they are there."""
OF_THE_CLOCK = "faketime_"
"""In the names of files that libfaketime makes for each process, and leaves."""
LISTENS = "0A"
"""The state of a listening socket in /proc/net/tcp (proc(5))."""


# The removal of cards


def late_removals(effect: Effect, readers: Mapping[str, int], removed: Mapping[str, float]) -> list[str]:
    """The cards that had to go and stayed for too long; ``removed`` has the seconds that it took."""
    return [
        f"{person.name}'s card was gone from reader {readers[person.name]} after {removed[person.name]:.2f} s, "
        f"not {effect.within:.0f} s"
        for person in effect.gone
        if removed[person.name] > effect.within
    ]


def hurt_sessions(effect: Effect, readers: Mapping[str, int], events: Iterable[Event]) -> list[str]:
    """The cards that had to stay in and were removed."""
    spared = {readers[person.name]: person.name for person in effect.spared}
    return [
        f"{spared[event.reader]}'s card was removed {event.time - effect.cause:.2f} s after a fault of others"
        for event in events
        if event.kind == "removed" and event.time >= effect.cause and event.reader in spared
    ]


# What is there at rest


def left_over(before: Counter[str], now: Counter[str]) -> list[str]:
    """What is there now and was not at first, and what is not there any more."""
    return [f"left over: {name}" for name in now - before] + [f"missing: {name}" for name in before - now]


def at_rest(place: Place) -> Counter[str]:
    """All processes, files, locks and listening sockets on both machines, and the state of the screen's account."""
    found: Counter[str] = Counter()
    for host in (place.admin, place.remote):
        processes = processes_of(host)
        found.update(f"{host.name}: process {command_of(pid).strip()}" for pid in processes)
        found.update(f"{host.name}: file {name}" for name in set(_files(host)))
        found.update(f"{host.name}: lock of {command_of(pid).strip()}" for pid in _locks() if pid in processes)
        found.update(f"{host.name}: listening {place_}" for place_ in _listening(host))
    found[f"remote: the password of {ACCOUNT} is {_password(place.remote)}"] += 1
    return found


def wait_for_rest(place: Place, before: Counter[str], settles: float = SETTLES) -> list[str]:
    """What is left over once everything had its time to end."""
    deadline = time.monotonic() + settles
    while (wrong := left_over(before, at_rest(place))) and time.monotonic() < deadline:
        time.sleep(0.3)
    return wrong


def processes_of(host: Host) -> set[int]:
    """The processes on the host, as the machine counts them."""
    space = _space(host.first_process)
    return {pid for pid in map(int, _numbers()) if _space(pid) == space}


def _numbers() -> Iterator[str]:
    return (path.name for path in Path("/proc").iterdir() if path.name.isdigit())


def _space(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:  # gone meanwhile
        return ""


def _files(host: Host) -> Iterator[str]:
    root = Path(f"/proc/{host.first_process}/root")
    for folder in FOLDERS[host.name]:
        for path in (root / folder).rglob("*"):
            if OF_THE_CLOCK in path.name or LOG.fullmatch(path.name):
                continue
            yield SOCKET.sub("/sessions/N.socket", f"/{path.relative_to(root)}")


def _locks() -> list[int]:
    """Who holds a lock on a file, as often as they hold one (/proc/locks)."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [int(words[4]) for words in lines if words[1] != "->"]


def _listening(host: Host) -> list[str]:
    tables = [Path(f"/proc/{host.first_process}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return [row[1] for row in rows if row[3] == LISTENS]


def _password(remote: Host) -> str:
    shadow = Path(f"/proc/{remote.first_process}/root/etc/shadow").read_text()
    words = next(line.split(":") for line in shadow.splitlines() if line.startswith(f"{ACCOUNT}:"))
    return "locked" if words[1].startswith("!") else "open"


# What is written down


def broken_chains(logs: Iterable[Path]) -> list[str]:
    """Where an audit log's chain is broken; a log that does not exist yet has none."""
    damages = [audit.verify(path) for path in logs if path.exists()]
    return [f"the audit's chain is broken in line {each.line} of {each.path.name}" for each in damages if each]


def audits(place: Place) -> list[Path]:
    """The audit logs of both sides: of decisions, and of what was refused."""
    ours = Path(f"/proc/{place.admin.first_process}/root")
    theirs = Path(f"/proc/{place.remote.first_process}/root")
    people = [ours / person.config.lstrip("/") / "audit.jsonl" for person in place.people.values()]
    decisions = [theirs / "var/log/sra/audit.jsonl", *people]
    return [*decisions, *map(refusals_path, decisions)]


def bad_lines(lines: Sequence[str], secret: str = PIN) -> list[str]:
    """What a log must not have: a bug's traces, and the PIN. The line is shown without it."""
    found = [line for line in lines if any(word in line for word in TELLTALES)]
    secrets = [line.replace(secret, "(the PIN)") for line in lines if secret in line]
    return [f"in a log: {line.strip()[:200]}" for line in (*found, *secrets)]


class Logs:
    """Every log of both machines, read once from beginning to end."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._read: dict[tuple[Path, int], int] = {}

    def wrong(self) -> list[str]:
        """What is wrong in what was written since the last time."""
        return [f"{path.name}: {each}" for path in self._files() for each in bad_lines(self._new_lines(path))]

    def _files(self) -> list[Path]:
        theirs = Path(f"/proc/{self._place.remote.first_process}/root/var/log/sra")
        return [*self._place.logs.glob("*.log"), *theirs.glob("sra.log*"), *audits(self._place)]

    def _new_lines(self, path: Path) -> list[str]:
        try:
            status = path.stat()
            with path.open("rb") as file:
                file.seek(min(self._read.get((path, status.st_ino), 0), status.st_size))
                new = file.read()
        except FileNotFoundError:
            return []
        complete = new[: new.rfind(b"\n") + 1]
        self._read[path, status.st_ino] = self._read.get((path, status.st_ino), 0) + len(complete)
        return complete.decode(errors="replace").splitlines()
