"""The product on two hosts: what the user types, as functions."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.hosts import CHECKOUT, Host
from lab.licenses import a_license, files_of
from lab.processes import LabError, Process, wait_until
from sra.remote.license.statement import License

BIN = CHECKOUT / ".venv" / "bin"
SRA = BIN / "sra"
PYTHON = BIN / "python"
PIN = "271828"
PIN_FILE = "/run/pin"
CARDS = "/root/cards"
KEYBOARD = "/run/keyboard"
PORT = 4116
LOCAL_PORT = 4117


def make_card(admin: Host, name: str, slots: Sequence[str] = (), *, pin: str = PIN, more: Sequence[str] = ()) -> str:
    """Make a software card (``slots`` such as ``9A=P256``); its 9A certificate in PEM."""
    chosen = [word for slot in slots for word in ("--slot", slot)]
    admin.run(
        [SRA, "softcard", "create", name, "--cards-dir", CARDS, "--pin-fd", "0", *chosen, *more], input=f"{pin}\n"
    )
    return certificate(admin, name)


def certificate(admin: Host, name: str, slot: str = "9A") -> str:
    """A certificate of a software card, in PEM."""
    return admin.run([SRA, "softcard", "certificate", name, "--cards-dir", CARDS, "--slot", slot]).stdout


def tries_left(admin: Host, name: str) -> int:
    """How many PIN tries the software card has left, as it says itself."""
    shown = json.loads(admin.run([SRA, "softcard", "show", name, "--cards-dir", CARDS, "--json"]).stdout)
    return int(shown["tries"])


def pair(remote: Host, account: str, certificate_pem: str) -> None:
    """Pair a card with an account."""
    path = f"/root/{account}.pem"
    remote.write(path, certificate_pem)
    remote.run([SRA, "pair", account, "--certificate", path])


@dataclass(frozen=True)
class Service:
    """A remote that runs, and how it is known."""

    process: Process
    fingerprint: str


@dataclass(frozen=True)
class World:
    """An admin's machine, and a remote at work."""

    admin: Host
    remote: Host
    service: Service

    def add_person(self, name: str, slots: Sequence[str] = ("9A=P256",), *, more: Sequence[str] = ()) -> str:
        """A card and an account of the same name, paired; the card's 9A certificate in PEM."""
        pem = make_card(self.admin, name, slots, more=more)
        self.remote.add_account(name, "a password that no test uses")
        pair(self.remote, name, pem)
        return pem

    @contextmanager
    def inserted(self, name: str, *options: str, entry: str = "pad", yes: bool = True) -> Iterator[Process]:
        """The user's card is in a reader of the remote meanwhile; its ``sra connect``."""
        connection = insert(self.admin, self.service, f"software:{name}", *options, entry=entry, yes=yes)
        try:
            yield connection
        finally:
            connection.terminate()
            connection.wait()


def start_remote(
    remote: Host,
    *,
    settings: str = "",
    log_level: str = "info",
    log: Path | None = None,
    licensed: bool = True,
    env: Mapping[str, str] | None = None,
) -> Service:
    """Make an identity, unless there is one, and start everything but pcscd; returns when admins can come."""
    if settings:
        remote.write("/etc/sra/srad.toml", settings)
    if licensed:
        install_license(remote, a_license())
    remote.run([SRA, "identity", "generate", "--host", remote.name], check=False)
    shown = json.loads(remote.run([SRA, "identity", "show", "--json"]).stdout)
    process = remote.start([SRA, "remote", "run", "--log-level", log_level], log=log, env=env)
    process.wait_for("reader 0 is ready")
    process.wait_for("reader 1 is ready")
    return Service(process, shown["fingerprint"])


def install_license(remote: Host, license_: License) -> None:
    """Give the remote a license, and its issuer's key."""
    for path, text in files_of(license_).items():
        remote.write(f"/{path}", text)


def remote_at_work(admin: Host, remote: Host, *, settings: str = "", log_level: str = "info") -> World:
    """The remote with pcscd and everything of the product; no card is paired yet."""
    remote.pcscd()
    return World(admin, remote, start_remote(remote, settings=settings, log_level=log_level))


def connect(
    admin: Host,
    service: Service,
    card: str,
    *options: str,
    to: str = "remote",
    pin: str = PIN,
    entry: str = "pad",
    yes: bool = True,
    log: Path | None = None,
) -> Process:
    """Start ``sra connect``; returns at once. The PIN goes in by a descriptor.

    ``entry`` is pad, code or forward. Questions get a yes, or, without ``yes``, a no: there is no terminal to ask at.
    """
    admin.write(PIN_FILE, f"{pin}\n", mode=0o600)
    command = [
        SRA, "connect", to, "--card", card, "--cards-dir", CARDS, "--pin-fd", "3",
        "--fingerprint", service.fingerprint, *(("--yes",) if yes else ()),
        "--pin-entry", entry, *options,
    ]  # fmt: skip
    return admin.start(["sh", "-c", f'exec "$@" 3<{PIN_FILE}', "sh", *command], log=log)


def insert(
    admin: Host,
    service: Service,
    card: str,
    *options: str,
    to: str = "remote",
    entry: str = "pad",
    yes: bool = True,
) -> Process:
    """``connect``, and wait until the card is inserted."""
    process = connect(admin, service, card, *options, to=to, entry=entry, yes=yes)
    process.wait_for("The card is inserted", 20)
    return process


def code_of(connection: Process) -> str:
    """The session code that a running ``sra connect`` has shown."""
    shown = re.search(r"Session code (\d{4}) (\d{4})", connection.output)
    if shown is None:
        raise LabError(f"no session code was shown:\n{connection.output}")
    return shown[1] + shown[2]


class Terminal:
    """A command at a terminal of its own; one at a time on a host."""

    def __init__(self, host: Host, command: Sequence[str | Path]) -> None:
        self._host = host
        line = shlex.join(map(str, command))
        host.run(["sh", "-c", f"rm -f {KEYBOARD}; mkfifo --mode=0600 {KEYBOARD}"])
        script = f'exec script --quiet --return --command "$1" /dev/null <>{KEYBOARD}'
        self.process = host.start(["sh", "-c", script, "sh", line])

    def answer(self, question: str, typed: str) -> None:
        """Type a line when the command has asked the question, for however many times before."""
        self.process.wait_for(question)
        self._host.run(["sh", "-c", f'printf "%s\\n" "$1" >{KEYBOARD}', "sh", typed])


def wait_for_card(remote: Host, *, present: bool = True) -> None:
    """Return when OpenSC sees a card in a reader of the remote, or none."""
    state = "Yes" if present else "No"

    def seen() -> bool:
        cards = cards_in_readers(remote)
        return bool(cards) and ("Yes" in cards) is present

    wait_until(seen, f"a card in a reader: {state}", 10)


def cards_in_readers(remote: Host) -> list[str]:
    """For each reader, what OpenSC says of a card in it: Yes or No; nothing while there is no pcscd."""
    listed = remote.run(["opensc-tool", "--list-readers"], check=False).stdout.splitlines()
    return [line.split()[1] for line in listed if line[:1].isdigit()]
