"""Ours: ``sra remote run`` on the remote, the admin's session at the other end of the proxy."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time

from benchmarks import orders, softcard, targets
from benchmarks.keys import PIN, KeyKind
from benchmarks.links import start_proxy
from benchmarks.measure import CardTime, Cell, Meter, Operation, Plan, Results
from benchmarks.operations import ACCOUNT, Pkcs11Operations, read_line, send, tell, told
from benchmarks.reader import OPENSC, Decide, ReaderWatch, measure_presence, start_pcscd
from benchmarks.softcard import SoftCard
from benchmarks.world import ROOT, World, stop
from lab.licenses import a_license, files_of
from sra.identity.x509_reading import fingerprint

PORT, FRONT_PORT = 4116, 4216
FOLDER, REMOTE = ROOT / "softcards", ROOT / "remote"
READERS = REMOTE / "run/sra/readers"

SETTINGS = f"""listen = ["127.0.0.1"]
port = {PORT}
readers = 1

[limits]
per_address = 1000
"""
"""One admin connects more often here than a stranger may."""


def measure(world: World, plan: Plan, kind: KeyKind) -> Results:
    """All operations with RSA; the connection and the signatures with P-256."""
    card = softcard.make(FOLDER, kind)
    card_time = CardTime(targets.OUR_CARD, kind, softcard.own_time_ms(card, kind))
    _start_remote(world, card)
    control = start_proxy(world, f"tcp:127.0.0.1:{FRONT_PORT}", f"tcp:127.0.0.1:{PORT}")
    admin = world.converse(sys.executable, "-m", "benchmarks.admin_side", str(FRONT_PORT), str(FOLDER))
    read_line(admin)
    cells = [
        *_measure_typed(world, Meter(plan, targets.TYPED_PIN, kind, control), admin, card),
        *_measure_pad(world, Meter(plan, targets.PIN_PAD, kind, control), admin, card),
    ]
    return Results(tuple(cells), (card_time,))


def _start_remote(world: World, card: SoftCard) -> None:
    """A whole remote in a folder, whose account ``ACCOUNT`` is paired with the card."""
    certificate = ROOT / "card.pem"
    certificate.write_bytes(card.credential.pem())
    (REMOTE / "etc/sra").mkdir(parents=True)
    (REMOTE / "etc/sra/srad.toml").write_text(SETTINGS)
    for name, text in files_of(a_license()).items():
        (REMOTE / name).parent.mkdir(parents=True, exist_ok=True)
        (REMOTE / name).write_text(text)
    world.call("sra", "identity", "generate", "--root", str(REMOTE))
    world.call("sra", "pair", ACCOUNT, "--certificate", str(certificate), "--root", str(REMOTE))
    world.start("sra", "remote", "run", "--root", str(REMOTE), ready=READERS.exists)
    start_pcscd(world, READERS / "0")


def _measure_typed(world: World, meter: Meter, admin: subprocess.Popen[str], card: SoftCard) -> list[Cell]:
    """With the PIN typed on the remote."""
    connect = _measure_connect(world, meter, admin)
    operations = Pkcs11Operations(world, meter, OPENSC, meter.kind)
    if meter.kind is KeyKind.P256:
        tell(admin, "insert")
        return [*connect, *operations.measure_signatures()]
    command = _measure_command(world, meter, admin)
    tell(admin, "connect")
    presence = measure_presence(world, meter, _decide(admin, "insert"), _decide(admin, "eject"))
    return [*connect, *command, *presence, *operations.measure_all(card.credential)]


def _measure_pad(world: World, meter: Meter, admin: subprocess.Popen[str], card: SoftCard) -> list[Cell]:
    """With the PIN pad, whose person agrees at once."""
    tell(admin, "eject")
    tell(admin, "insert-pad")
    operations = Pkcs11Operations(world, meter, OPENSC, meter.kind, pin=None)
    if meter.kind is KeyKind.P256:
        return operations.measure_sign()
    measured = [*operations.measure_sign(), *operations.measure_pam(card.credential)]
    return [*measured, *orders.measure_pause(world, meter, admin)]


def _measure_connect(world: World, meter: Meter, admin: subprocess.Popen[str]) -> list[Cell]:
    world.wait_until(lambda: _is_attached(admin), "a card in the remote's reader")

    def connect() -> float:
        return told(admin, "connect")

    def close() -> None:
        tell(admin, "close")

    return meter.measure(Operation.CONNECT, connect, prepare=close)


def _measure_command(world: World, meter: Meter, admin: subprocess.Popen[str]) -> list[Cell]:
    """``sra connect``, from the start of the process until an application on the remote sees the card; and its end."""
    tell(admin, "close")
    watch = ReaderWatch(world)
    watch.seen(present=False)
    shown = fingerprint(ssl.PEM_cert_to_DER_cert((REMOTE / "etc/sra/identity/certificate.pem").read_text()))
    where = (f"127.0.0.1:{FRONT_PORT}", "--fingerprint", shown, "--config-dir", str(ROOT / "admin"))
    card = ("--card", f"software:{softcard.NAME}", "--cards-dir", str(FOLDER), "--pin-fd", "0")
    running: list[subprocess.Popen[str]] = []

    def connect() -> float:
        start = time.monotonic()
        running.append(world.converse("sra", "connect", *where, *card))
        send(running[0], PIN)
        return watch.seen(present=True) - start

    def disconnect() -> None:
        while running:
            stop(running.pop())
            watch.seen(present=False)

    cells = meter.measure(Operation.COMMAND, connect, prepare=disconnect)
    cells += orders.measure_ejection(world, meter, watch, ROOT / "admin")
    disconnect()
    watch.close()
    return cells


def _is_attached(admin: subprocess.Popen[str]) -> bool:
    """Whether srad listens and the virtual card is attached to it."""
    tell(admin, "close")
    return all(tell(admin, command) != "null" for command in ("connect", "insert", "eject"))


def _decide(admin: subprocess.Popen[str], what: str) -> Decide:
    return lambda: told(admin, what)
