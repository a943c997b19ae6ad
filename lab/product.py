"""The product on two hosts: what the person types, as functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.hosts import CHECKOUT, Host
from lab.processes import Process, wait_until

BIN = CHECKOUT / ".venv" / "bin"
SRA = BIN / "sra"
PIN = "271828"
PIN_FILE = "/run/pin"
CARDS = "/root/cards"
PORT = 4116


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


def start_remote(remote: Host, *, settings: str = "", log_level: str = "info", log: Path | None = None) -> Service:
    """Make an identity, unless there is one, and start everything but pcscd; returns when admins can come."""
    if settings:
        remote.write("/etc/sra/srad.toml", settings)
    remote.run([SRA, "identity", "generate", "--host", remote.name], check=False)
    shown = json.loads(remote.run([SRA, "identity", "show", "--json"]).stdout)
    process = remote.start([SRA, "remote", "run", "--log-level", log_level], log=log)
    process.wait_for("reader 0 is ready")
    process.wait_for("reader 1 is ready")
    return Service(process, shown["fingerprint"])


def connect(
    admin: Host,
    service: Service,
    card: str,
    *options: str,
    to: str = "remote",
    pin: str = PIN,
    pad: bool = True,
    log: Path | None = None,
) -> Process:
    """Start ``sra connect``; returns at once. The PIN goes in by a descriptor; the pad's questions get a yes."""
    admin.write(PIN_FILE, f"{pin}\n", mode=0o600)
    command = [
        SRA, "connect", to, "--card", card, "--cards-dir", CARDS, "--pin-fd", "3",
        "--fingerprint", service.fingerprint, "--yes", "--pin-pad" if pad else "--no-pin-pad", *options,
    ]  # fmt: skip
    return admin.start(["sh", "-c", f'exec "$@" 3<{PIN_FILE}', "sh", *command], log=log)


def insert(admin: Host, service: Service, card: str, *options: str, pad: bool = True) -> Process:
    """``connect``, and wait until the card is inserted."""
    process = connect(admin, service, card, *options, pad=pad)
    process.wait_for("The card is inserted", 20)
    return process


def wait_for_card(remote: Host, *, present: bool = True) -> None:
    """Return when OpenSC sees a card in a reader of the remote, or none."""
    state = "Yes" if present else "No"

    def seen() -> bool:
        listed = remote.run(["opensc-tool", "--list-readers"], check=False).stdout.splitlines()
        cards = {line.split()[1] for line in listed if line[:1].isdigit()}
        return "Yes" in cards if present else bool(cards) and "Yes" not in cards

    wait_until(seen, f"a card in a reader: {state}", 10)
