"""A fresh Debian with systemd as its first process: for what only a whole machine can show.

    with systemd_machine(root) as machine:
        machine.run(["systemctl", "is-active", "srad"])
        machine.reboot()

It has its own processes, a network with one cable to another network, where an admin can be, and a layer over ``root``
that goes with it. Everything ends with the ``with`` block, or with the process that runs it, even when that is killed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from lab.cable import ADMIN, ADMIN6, REMOTE, REMOTE6, CableEnd, lay_cable
from lab.processes import LabError, Process, children, wait_until

CHECKOUT = Path(__file__).resolve().parent.parent
BOOT_DEADLINE = 60.0
"""Seconds to boot: two on an idle machine."""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
}
REMOVE_GROUP = """\
umount --recursive /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
find "$1" -depth -type d -exec rmdir {} +
"""
VOLATILE = ("dev", "proc", "run", "sys", "tmp")
"""Folders of which nothing survives a restart."""


class Entry(NamedTuple):
    """What there is to know of a file, except when it was written."""

    mode: int
    uid: int
    gid: int
    content: str
    """The SHA-256 of a file, or where a link goes."""


Tree = Mapping[str, Entry]


class SystemdMachine:
    """A machine that systemd runs. ``systemd_machine`` makes them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._name = f"sra{secrets.token_hex(4)}"
        self._resources = ExitStack()
        self._restarter = 0
        self.first_process = 0
        """systemd, as the outer machine counts: by it the machine's namespaces are found."""
        self.address = REMOTE

    # Its life

    def open(self) -> None:
        """Boot; returns when everything runs that is started at boot. Raises ``LabError``."""
        self._console = Path(self._resources.enter_context(tempfile.TemporaryDirectory())) / "console"
        namespaces = ["--mount", "--mount-proc", "--pid", "--ipc", "--fork", "--kill-child"]
        script = CHECKOUT / "lab" / "first_systemd.sh"
        self._maker = subprocess.Popen(
            ["unshare", *namespaces, script, self._name, self._root, self._console],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._resources.callback(self._end)
        said = cast("IO[str]", self._maker.stdout)
        if (first := said.readline()) != "ready\n":
            raise LabError(f"the machine could not be made: {first}{said.read()}")
        (holder,) = children(self._maker.pid)
        (self._restarter,) = children(holder)
        self._neighbour = self._resources.enter_context(_network())
        self._wait_booted(0)
        self._plug_in()

    def close(self) -> None:
        """End it at once, as by pulling the plug."""
        self._resources.close()

    def reboot(self) -> None:
        """Restart it in order, and return when it is up again."""
        before = self.first_process
        self.run(["systemctl", "reboot", "--no-block"])
        self._wait_booted(before)
        self._plug_in()

    def _plug_in(self) -> None:
        """Lay the cable; the machine's network, and its end with it, goes with each restart."""
        lay_cable(CableEnd(self._neighbour, ADMIN, ADMIN6), CableEnd(self.first_process, REMOTE, REMOTE6))

    def _wait_booted(self, before: int) -> None:
        def is_up() -> bool:
            found = [each for nspawn in children(self._restarter) for each in children(nspawn)]
            if len(found) != 1 or found[0] == before:
                return False
            self.first_process = found[0]
            state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
            return state in {"running", "degraded"}

        try:
            wait_until(is_up, "the machine to boot", BOOT_DEADLINE)
        except LabError as error:
            raise LabError(f"{error}\n{self._console.read_text()}") from None

    def _end(self) -> None:
        for pipe in (self._maker.stdin, self._maker.stdout):
            cast("IO[str]", pipe).close()
        try:
            self._maker.wait(5)
        except subprocess.TimeoutExpired:
            self._maker.kill()
            self._maker.wait()
        remove = (
            'umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; find "$1" -depth -type d -exec rmdir {} +'
        )
        group = f"/sys/fs/cgroup/{self._name}"
        subprocess.run(["unshare", "--mount", "sh", "-c", remove, "sh", group], capture_output=True, check=False)

    # Programs

    def command(
        self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, user: str = "root"
    ) -> list[str]:
        """The command that, run on the outer machine, runs ``argv`` on this one."""
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wdns=/"]
        become = [] if user == "root" else ["setpriv", *self._identity(user), "--init-groups", "--"]
        clean = ["env", "-i", *(f"{name}={value}" for name, value in ENVIRONMENT.items())]
        return ["nsenter", f"--target={self.first_process}", *spaces, "--", *clean, *become, *map(str, argv)]

    def _identity(self, user: str) -> list[str]:
        """Who setpriv is to become."""
        for line in self.path("/etc/passwd").read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == user:
                return [f"--reuid={uid}", f"--regid={gid}"]
        raise LabError(f"the machine has no account {user}")

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        input: str = "",  # noqa: A002
        timeout: float = 60,
        user: str = "root",
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; with ``check``, raise ``LabError`` unless its exit status is 0."""
        command = self.command(argv, user=user)
        ended = subprocess.run(
            command,
            input=input,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=timeout,
            check=False,
        )
        if check and ended.returncode != 0:
            raise LabError(f"{argv[0]} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return ended

    def start_outside(self, argv: Sequence[str | Path]) -> Process:
        """Start a program of the outer machine, with its files, at the other end of the cable; it ends with it."""
        enter = ["nsenter", f"--target={self._neighbour}", "--net", "--"]
        with tempfile.TemporaryFile() as file:
            entered = subprocess.Popen(
                [*enter, "sh", "-c", '"$@"; exit $?', "sh", *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            process = Process(entered, os.dup(file.fileno()))
        self._resources.callback(process.close)
        return process

    # Files

    def path(self, name: str) -> Path:
        """A file of the machine, as the outer machine reaches it."""
        return Path(f"/proc/{self.first_process}/root") / name.removeprefix("/")

    def copy_in(self, source: Path, name: str, mode: int = 0o644) -> None:
        """Copy a file of the outer machine to this one, with the folders above it; it is root's."""
        self.write(name, source.read_bytes(), mode)

    def write(self, name: str, data: str | bytes, mode: int = 0o644) -> None:
        """Write a file, with the folders above it; it is root's."""
        self.run(["mkdir", "--parents", str(Path(name).parent)])
        self.path(name).write_bytes(data.encode() if isinstance(data, str) else data)
        self.path(name).chmod(mode)

    def tree(self) -> Tree:
        """Every file that survives a restart."""
        return dict(_tree(self.path("/")))


@contextmanager
def systemd_machine(root: Path) -> Iterator[SystemdMachine]:
    """A machine that has booted from the root folder."""
    if os.geteuid() != 0:
        raise LabError("a machine with systemd needs root: run it as root")
    machine = SystemdMachine(root)
    try:
        machine.open()
        yield machine
    finally:
        machine.close()


@contextmanager
def _network() -> Iterator[int]:
    """A network of its own: the process that holds it, which ends with this one."""
    with subprocess.Popen(
        ["unshare", "--net", "--", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as holder:
        if cast("IO[bytes]", holder.stdout).readline() != b"ready\n":
            raise LabError("there could be no network of its own")
        yield holder.pid


def differences(before: Tree, after: Tree, ignored: Sequence[str] = ()) -> list[str]:
    """What differs between two trees, a line each; ``ignored`` are files and folders."""
    prefixes = tuple(f"{name}/" for name in ignored)
    names = sorted(name for name in {*before, *after} if name not in ignored and not name.startswith(prefixes))
    return [f"{name}: {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name)]


def _tree(root: Path) -> Iterator[tuple[str, Entry]]:
    for folder, folders, names in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name not in VOLATILE]
        for name in (*folders, *names):
            path = Path(folder, name)
            found = path.lstat()
            yield f"/{path.relative_to(root)}", Entry(found.st_mode, found.st_uid, found.st_gid, _content(path, found))


def _content(path: Path, found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return str(path.readlink())
    if not stat.S_ISREG(found.st_mode):
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
