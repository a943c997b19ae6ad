"""The two machines of a soak: what stands at home, how it is brought back, and who holds which card."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from lab import cards, product
from lab.cards import MODULE
from lab.hosts import Host
from lab.processes import LabError, Process, children
from lab.product import Service, World
from lab.screen import OwnScreen, add_screen_account
from soak.programs import Program
from soak.readers import Readers
from sra.admin import control
from sra.admin.control import ControlRequest, ControlStatus
from sra.errors import LinkError

PIN = "90718263"
CLOCK = "/run/moved-clock"
CLOCK_LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
MOVED_CLOCK = {
    "LD_PRELOAD": CLOCK_LIBRARY,
    "FAKETIME_TIMESTAMP_FILE": CLOCK,
    "FAKETIME_CACHE_DURATION": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}
"""The clock of srad and of all that it is started with; only the time of day moves, as on a machine."""
SETTINGS = """\
[limits]
per_address = 10000

[screen]
notice = false
"""
COMES_BACK = 25.0
"""Seconds: a start of the remote's processes, and the longest wait between two tries of ``sra connect`` (15 s)."""
REMOTE_DISKS = ("/var/log/sra", "/var/lib/sra", "/run/sra")
ADMIN_DISKS = ("/root/ann", "/root/bob")
"""Folders on small disks of their own, so that they can be filled."""
COOKIE = "/run/x-cookie"
WORK = "/root/work"
TEXT = "The quick brown fox jumps over the lazy dog.\n"
SERVICE = "desk"


@dataclass
class Person:
    """An admin with a card of the same name, and what runs for them."""

    name: str
    key: ec.EllipticCurvePublicKey
    connection: Process | None = None
    logs: list[Path] = field(default_factory=list)

    @property
    def config(self) -> str:
        """The person's folder on the admin's machine."""
        return f"/root/{self.name}"


class Place:
    """Both machines. ``open`` brings everything home for the first time; the hosts' end ends all of it."""

    def __init__(self, admin: Host, remote: Host, logs: Path) -> None:
        self.admin = admin
        self.remote = remote
        self.logs = logs
        self.people: dict[str, Person] = {}
        self.screen = OwnScreen(admin)
        self._started = 0

    def open(self) -> None:
        """Make the people, start everything, and return when all cards are in."""
        self.logs.mkdir(parents=True, exist_ok=True)
        for host, folders in ((self.remote, REMOTE_DISKS), (self.admin, ADMIN_DISKS)):
            for folder in folders:
                host.run(["mkdir", "-p", folder])
                host.run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=16m", "small", folder])
        self.remote.write(CLOCK, "+0\n")
        self.remote.write(f"{WORK}/text", TEXT)
        add_screen_account(self.remote)
        self.start_pcscd()
        self.readers = Readers(self.remote, self.logs / "readers.log")
        self.service = self.start_service(SETTINGS)
        certificates = {name: self._add(name) for name in ("ann", "bob", "cid")}
        self._set_up_logins(certificates)
        self.start_x()
        self.screen.start()
        self.come_home(time.monotonic() + 2 * COMES_BACK)

    def _set_up_logins(self, certificates: Mapping[str, str]) -> None:
        """Each card logs in to the account of the same name, and nothing else does."""
        digests = {name: hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)) for name, pem in certificates.items()}
        lines = [f"{digest.digest().hex(':').upper()} -> {name}\n" for name, digest in digests.items()]
        for service in (SERVICE, "su"):
            self.remote.configure_pam_pkcs11(service, "ann", certificates["ann"])
        self.remote.write(f"{cards.FOLDER}/digest_mapping", "# digest -> account\n" + "".join(lines))

    def _add(self, name: str) -> str:
        world = World(self.admin, self.remote, self.service)
        pem = product.make_card(self.admin, name, ["9A=P256", "9D=P256"], pin=PIN)
        world.remote.add_account(name, "a password that nothing uses")
        product.pair(self.remote, name, pem)
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise LabError("a card with another key than was asked for")
        self.people[name] = Person(name, key)
        return pem

    def log(self, name: str) -> Path:
        """A file for what a process of this name writes; of several with the same name each has its own."""
        self._started += 1
        return self.logs / f"{self._started:04d}-{name}.log"

    # What a machine starts by itself

    def start_pcscd(self) -> None:
        """As its socket's unit does: with nothing of the one before in the way."""
        self.remote.run(["rm", "-f", "/run/pcscd/pcscd.comm", "/run/pcscd/pcscd.pid"])
        self.pcscd = self.remote.pcscd(log=self.log("pcscd"))

    def start_service(self, settings: str = "") -> Service:
        """``sra remote run``, which restarts its processes after the time that their units say."""
        self.service = product.start_remote(
            self.remote, settings=settings, log=self.log("remote"), licensed=bool(settings), env=MOVED_CLOCK
        )
        return self.service

    def start_x(self) -> None:
        """The remote's screen, as a display manager starts it."""
        self.remote.run(["sh", "-c", "rm -f /tmp/.X11-unix/X0 /tmp/.X0-lock"])
        self.remote.run(["xauth", "-f", COOKIE, "add", ":0", ".", "0123456789abcdef" * 2])
        options = ["-auth", COOKIE, "-nolisten", "tcp", "-noreset", "-screen", "0", "320x240x24"]
        self.x_server = self.remote.start(["Xvfb", ":0", *options])

    # What people do

    def connection_of(self, person: Person) -> Process:
        """The person's connection; raise ``LabError`` if there is none."""
        if person.connection is None or not person.connection.is_running:
            raise LabError(f"{person.name} is not connected")
        return person.connection

    def share(self, person: Person) -> Process:
        """Start ``sra screen`` for a person, which takes the place of their connection; return when it is shown."""
        self.end_connection(person)
        person.logs.append(self.log(f"{person.name}-screen"))
        person.connection = self.screen.sra_screen(
            self.service, f"software:{person.name}", "--config-dir", person.config, pin=PIN, log=person.logs[-1]
        )
        person.connection.wait_for("The remote's screen is shown.", COMES_BACK)
        self.screen.wait_for_viewer()
        return person.connection

    def end_connection(self, person: Person) -> None:
        """End a person's connection in order, and wait for it."""
        if person.connection is not None:
            person.connection.terminate()
            person.connection.wait()
            person.connection.close()
            person.connection = None

    def viewer(self) -> int:
        """The process id of the viewer."""
        return _child(self.connection_of(self.people["bob"]).pid, "vncviewer")

    def connect(self, person: Person, *options: str) -> Process:
        """Start ``sra connect`` for a person."""
        person.logs.append(self.log(person.name))
        person.connection = product.connect(
            self.admin, self.service, f"software:{person.name}", "--config-dir", person.config, *options,
            pin=PIN, log=person.logs[-1],
        )  # fmt: skip
        return person.connection

    def standing(self, person: Person) -> ControlStatus | None:
        """How a person's connection stands, as it says itself; ``None`` if it does not answer."""
        with suppress(LinkError):
            return self.tell(person, ControlRequest.STATUS)
        return None

    def tell(self, person: Person, order: ControlRequest) -> ControlStatus:
        """Give a person's connection an order, as ``sra session`` does; raise ``LinkError`` if it does not answer."""
        folder = Path(f"/proc/{self.admin.first_process}/root{person.config}/sessions")
        running = control.running(folder) if folder.is_dir() else []
        if len(running) != 1:
            raise LinkError(f"{len(running)} connections of {person.name}")
        return asyncio.run(control.tell(running[0], order))

    def first_name(self) -> str:
        """Whose card is in the first reader; pam_pkcs11 goes by that one."""
        at_home = [self.people[name] for name in ("ann", "bob")]
        return next((person.name for person in at_home if self.reader_of(person) == 0), "ann")

    def reader_of(self, person: Person) -> int:
        """The reader that the person's card was inserted in last."""
        return int(person.logs[-1].read_text().rpartition("“Secure Remote Access ")[2][:2])

    # Processes

    def find(self, part: str) -> int:
        """The process id of one of the remote's processes: ``srad``, ``sra-card 0``, ``sra-screen``, ``X0tigervnc``."""
        if part == "X0tigervnc":
            return _child(self.find("sra-screen"), "X0tigervnc")
        name, _, number = part.partition(" ")
        word = {"srad": "sra.programs.srad", "sra-card": f"--reader {number} ", "sra-screen": "sra_screen"}[name]
        return _child(self.service.process.pid, word)

    def long_lived(self) -> dict[str, int]:
        """The process ids of everything of the product that stays."""
        remote = {part: self.find(part) for part in ("srad", "sra-card 0", "sra-card 1", "sra-screen")}
        connections = {f"sra connect of {name}": self.connection_of(self.people[name]).pid for name in ("ann", "bob")}
        return {**remote, "sra remote run": self.service.process.pid, "pcscd": self.pcscd.pid, **connections}

    # Signatures

    def start_signature(self, person: Person) -> Program:
        """A program on the remote that has the person's card sign a text; it asks for the PIN."""
        command = [
            "pkcs11-tool", "--module", MODULE, "--token-label", person.name, "--login", "--sign", "--id", "01",
            "--mechanism", "ECDSA-SHA256", "--signature-format", "openssl",
            "--input-file", "text", "--output-file", f"{person.name}.signature",
        ]  # fmt: skip
        return Program(self.remote, command, folder=WORK)

    def is_signed(self, person: Person, program: Program) -> bool:
        """Whether the program has ended with a signature; raise ``LabError`` if it is not one by the person's key."""
        if program.finish() != 0:
            return False
        signature = Path(f"/proc/{self.remote.first_process}/root{WORK}/{person.name}.signature")
        try:
            person.key.verify(signature.read_bytes(), TEXT.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise LabError(f"a signature that is not one of {person.name}'s key") from error
        return True

    def sign(self, person: Person, deadline: float) -> None:
        """Return when a signature succeeded; a reader that another program uses just now is tried again."""
        while not self.is_signed(person, program := self.start_signature(person)):
            if time.monotonic() > deadline:
                raise LabError(f"no signature by {person.name}: {program.output}")
            time.sleep(0.3)

    # Home

    def come_home(self, deadline: float) -> None:
        """Start what ended, and return when Ann's and Bob's cards are in and sign; raise ``LabError`` if they don't."""
        at_home = [self.people[name] for name in ("ann", "bob")]
        for person in at_home:
            self._wait(lambda person=person: self._is_home(person), f"{person.name}'s card to be in", deadline)  # type: ignore[misc]
            self._wait(lambda person=person: self._signs_at_home(person), f"a signature by {person.name}", deadline)  # type: ignore[misc]

    def _signs_at_home(self, person: Person) -> bool:
        return self._is_home(person) and self.is_signed(person, self.start_signature(person))

    def _is_home(self, person: Person) -> bool:
        """What ends late, after all was looked at, is started at the next look."""
        if not self.pcscd.is_running:
            self.start_pcscd()
        if not self.service.process.is_running:
            self.start_service()
        if person.connection is None or not person.connection.is_running:
            self.connect(person)
        standing = self.standing(person)
        return standing is not None and standing.inserted and self.readers.is_present(self.reader_of(person))

    def _wait(self, ready: Callable[[], bool], what: str, deadline: float) -> None:
        while not ready():
            if time.monotonic() > deadline:
                raise LabError(f"waited in vain for {what}")
            time.sleep(0.1)


def _child(parent: int, word: str) -> int:
    """The child process whose command line has the word; raise ``LabError`` if there is none."""
    for pid in children(parent):
        if word in command_of(pid):
            return pid
    raise LabError(f"no process {word}")


def command_of(pid: int) -> str:
    """A process's command line; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
