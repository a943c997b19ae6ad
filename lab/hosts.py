"""Two hosts on this machine, joined by a cable.

    with two_hosts() as (admin, remote):
        remote.add_account("alice", "secret")
        server = remote.start(["openssl", "s_server", ...])
        print(admin.run(["openssl", "s_client", "-connect", f"{remote.address}:4433"]).stdout)

A host has its own network, processes, name and System V objects, an empty ``/run``, ``/tmp`` and ``/dev/shm``, and a
private layer over the machine's ``/etc``, ``/home``, ``/opt``, ``/root``, ``/srv``, ``/usr`` and ``/var``: what is
installed on the machine is there, and what is changed on the host is gone with it. The checkout and the folders given
as ``share`` are the machine's own.

Everything ends with the ``with`` block, or with the process that runs it, even when that is killed.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from lab.cable import ADMIN, ADMIN6, REMOTE, REMOTE6, CableEnd, lay_cable
from lab.cards import configure_pam_pkcs11, start_pcscd
from lab.processes import LabError, Process, children, end

CHECKOUT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


class Account(NamedTuple):
    """A line of ``/etc/passwd`` (passwd(5))."""

    name: str
    password: str
    uid: str
    gid: str
    comment: str
    home: str
    shell: str


class Host:
    """A machine of its own, as far as programs can tell. ``two_hosts`` makes them."""

    def __init__(self, name: str, address: str, address6: str) -> None:
        self.name = name
        self.address = address
        self.address6 = address6
        self._resources = ExitStack()
        self.first_process = 0
        """Its process 1 as the machine counts, by which its namespaces are found."""

    # Its life

    def open(self, share: Sequence[Path]) -> None:
        """Begin to make the host, with ``share`` as its share of the machine's folders; ``wait_open`` has to follow."""
        namespaces = ["--mount", "--mount-proc", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        self._maker = subprocess.Popen(
            ["unshare", *namespaces, CHECKOUT / "lab" / "first_process.sh", self.name, *share],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._resources.callback(_end, self._maker)

    def wait_open(self) -> None:
        """Return when the host can be used; raise ``LabError`` if it could not be made."""
        said = cast("IO[str]", self._maker.stdout)
        if (first := said.readline()) != "ready\n":
            raise LabError(f"the host {self.name} could not be made: {first}{said.read()}")
        (self.first_process,) = children(self._maker.pid)

    def close(self) -> None:
        """End every process on the host; its network and files vanish with the last one."""
        self._resources.close()

    # Programs

    def command(
        self,
        argv: Sequence[str | Path],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        folder: str | Path = "/",
    ) -> list[str]:
        """The command that, run on the machine, runs ``argv`` on the host, as ``user`` (root) in ``folder``."""
        account = self.account(user or "root")
        enter = ["nsenter", f"--target={self.first_process}", "--mount", "--net", "--pid", "--uts", "--ipc", "--"]
        become = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups", "--"] if user else []
        values = {**ENVIRONMENT, "HOME": account.home, "USER": account.name, "LOGNAME": account.name, **(env or {})}
        clean = ["env", "-i", f"--chdir={folder}", *(f"{name}={value}" for name, value in values.items())]
        return [*enter, *become, *clean, *map(str, argv)]

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        input: str = "",  # noqa: A002
        timeout: float = 30,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        folder: str | Path = "/",
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; with ``check``, raise ``LabError`` unless its exit status is 0."""
        with subprocess.Popen(
            self.command(argv, user=user, env=env, folder=folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        ) as entered:
            try:
                output, errors = entered.communicate(input, timeout)
            except BaseException as error:
                end(entered)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise LabError(f"{argv[0]} on {self.name} still runs after {timeout} s") from error
                raise
        if check and entered.returncode != 0:
            raise LabError(f"{argv[0]} on {self.name} ended with {entered.returncode}:\n{output}{errors}")
        return subprocess.CompletedProcess(list(map(str, argv)), entered.returncode, output, errors)

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path | None = None,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        folder: str | Path = "/",
    ) -> Process:
        """Start a program that goes on; it ends with the host. ``log`` is kept, without it the output goes with it."""
        with log.open("a+b") if log else tempfile.TemporaryFile() as file:
            entered = subprocess.Popen(
                self.command(argv, user=user, env=env, folder=folder),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            process = Process(entered, os.dup(file.fileno()))
        self._resources.callback(process.close)
        return process

    # Files and accounts

    def read(self, path: str | Path) -> str:
        """The text of a file of the host."""
        return self.run(["cat", path]).stdout

    def write(self, path: str | Path, text: str, mode: int = 0o644, owner: str = "root") -> None:
        """Write a file of the host, with its folders."""
        self.run(["install", "-D", f"--mode={mode:o}", f"--owner={owner}", "/dev/stdin", path], input=text)

    def account(self, name: str) -> Account:
        """An account of the host."""
        lines = Path(f"/proc/{self.first_process}/root/etc/passwd").read_text().splitlines()
        for line in lines:
            if line.startswith(f"{name}:"):
                return Account(*line.split(":"))
        raise LabError(f"the host {self.name} has no account {name}")

    def add_account(self, name: str, password: str) -> Account:
        """Make an account that can log in with a password."""
        self.run(["useradd", "--create-home", "--shell", "/bin/bash", name])
        self.run(["chpasswd"], input=f"{name}:{password}\n")
        return self.account(name)

    # The network

    def cable(self, *, up: bool) -> None:
        """Plug the cable in, or pull it out: then both ends see that they have no carrier."""
        self.run(["ip", "link", "set", "eth0", "up" if up else "down"])

    # Cards

    def pcscd(self, readers: int = 2, runtime: Path = Path("/run/sra"), log: Path | None = None) -> Process:
        """Start pcscd with virtual readers, whose cards' sockets are in ``runtime``, and wait till it answers."""
        return start_pcscd(self, readers, runtime, log)

    def configure_pam_pkcs11(self, service: str, account: str, certificate_pem: str) -> None:
        """Let the card with that certificate log in to ``account`` through a PAM service made for it."""
        configure_pam_pkcs11(self, service, account, certificate_pem)


@contextmanager
def two_hosts(share: Sequence[Path] = ()) -> Iterator[tuple[Host, Host]]:
    """Two hosts joined by a cable, called ``admin`` and ``remote``, which know each other by name."""
    if os.geteuid() != 0:
        raise LabError("two hosts on one machine need root, to make networks and file systems for them: run it as root")
    admin = Host("admin", ADMIN, ADMIN6)
    remote = Host("remote", REMOTE, REMOTE6)
    with ExitStack() as stack:
        for host in (admin, remote):
            stack.callback(host.close)
            host.open([CHECKOUT, *share])
        for host in (admin, remote):
            host.wait_open()
        _join(admin, remote)
        yield admin, remote


def _join(admin: Host, remote: Host) -> None:
    lay_cable(*(CableEnd(host.first_process, host.address, host.address6) for host in (admin, remote)))
    names = "".join(f"{host.address} {host.name}\n{host.address6} {host.name}\n" for host in (admin, remote))
    for host in (admin, remote):
        host.run(["tee", "--append", "/etc/hosts"], input=names)


def _end(maker: subprocess.Popen[str]) -> None:
    """End a host: its first process ends when its standard input does, and all others with it."""
    for pipe in (maker.stdin, maker.stdout):
        cast("IO[str]", pipe).close()
    try:
        maker.wait(5)
    except subprocess.TimeoutExpired:
        maker.kill()
        maker.wait()
