"""``sra connect``: how each failure ends, and how Ctrl-C does."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from sra.admin.build import ConnectOptions, UserInterface, _lender
from sra.audit import verify
from sra.cards.software.file import CardFolder
from sra.cards.software.maker import CardHolder, CardOrder, make, parse_subject, validity
from sra.cli.admin.connect import parse_slots
from sra.cli.console import terminal
from sra.cli.console.output import print_note
from sra.cli.console.status_view import StatusView
from sra.cli.console.terminal_person import TerminalPerson
from sra.config import load_admin_config
from sra.errors import UsageError
from sra.identity.certificates import parse
from sra.identity.x509_reading import fingerprint
from sra.paths import admin_paths
from sra.piv.keys import Algorithm, Slot
from sra.programs.run import status
from tests.cli.remote_in_thread import RemoteInThread, remote_in_thread
from tests.cli.whole import app
from tests.loopback import HOST, identity, until
from tests.memory_card import MemoryCard

PIN = "123456"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CardFolder:
    folder = CardFolder(tmp_path_factory.mktemp("made"))
    order = CardOrder(
        {Slot.AUTHENTICATION: Algorithm.P256}, CardHolder(parse_subject("Ann")), None, validity(datetime.now(UTC), 9)
    )
    folder.create("ann", make(order, PIN.encode(), b"PUKPUKPU"))
    return folder


class Admin:
    """A person's folders, and the command as they would type it."""

    def __init__(self, folder: Path, made: CardFolder) -> None:
        self.cards = folder / "cards"
        self.config = folder / "config"
        shutil.copytree(made.path, self.cards)
        self.config.mkdir(mode=0o700)
        (stored,) = CardFolder(self.cards).read("ann").keys
        self.certificate = parse(stored.certificate)

    def connect(self, port: int, *options: str, pin: str = PIN, shown: str | None = None) -> int:
        """The exit status of ``sra connect``."""
        reading, writing = os.pipe()
        os.write(writing, f"{pin}\n".encode())
        os.close(writing)
        known = () if shown == "" else ("--fingerprint", shown or identity().fingerprint)
        try:
            return status(
                app,
                [
                    "connect", f"{HOST}:{port}", "--cards-dir", str(self.cards), "--config-dir", str(self.config),
                    "--pin-fd", str(reading), *known, *options,
                ],
            )  # fmt: skip
        finally:
            os.close(reading)


@pytest.fixture
def admin(tmp_path: Path, made: CardFolder) -> Admin:
    return Admin(tmp_path, made)


@pytest.fixture
def running() -> Iterator[RemoteInThread]:
    with remote_in_thread() as remote:
        yield remote


@pytest.fixture
def paired(running: RemoteInThread, admin: Admin) -> RemoteInThread:
    running.remote.accounts.paired[admin.certificate.fingerprint] = "ann-account"
    return running


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("sra")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture(autouse=True)
def unattended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sits at the terminal, if there is one."""
    monkeypatch.setattr(terminal, "TERMINAL", "/nonexistent/tty")


def error_of(capfd: pytest.CaptureFixture[str]) -> str:
    """The last line that says what went wrong."""
    return [line for line in capfd.readouterr().err.splitlines() if line.startswith("sra: error: ")][-1]


def is_inserted(running: RemoteInThread) -> bool:
    return bool(running.remote.readers[0].present)


def test_ctrl_c_ejects_and_is_no_failure(
    paired: RemoteInThread, admin: Admin, capfd: pytest.CaptureFixture[str]
) -> None:
    paired.once(lambda: is_inserted(paired), lambda: os.kill(os.getpid(), signal.SIGINT))
    assert admin.connect(paired.remote.port) == 0
    assert not is_inserted(paired)
    shown = capfd.readouterr().err
    assert re.search(r"Connected to 127.0.0.1:[0-9]+ as ann-account \(session [0-9a-f]{8}\)\.", shown)
    assert "The card is inserted in “reader 0”." in shown
    assert "disconnected" in shown
    assert verify(admin.config / "audit.jsonl") is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_and_a_shutdown_end_it_in_order_as_well(
    number: signal.Signals, paired: RemoteInThread, admin: Admin
) -> None:
    paired.once(lambda: is_inserted(paired), lambda: os.kill(os.getpid(), number))
    assert admin.connect(paired.remote.port) == 0
    assert not is_inserted(paired)
    assert paired.remote.records.of("ejected")[0]["reason"] == "The admin disconnected."


@pytest.mark.parametrize(
    "options",
    [("--slots", "9B"), ("--slots", ","), ("--card", "nonsense:ann"), ("--fingerprint", "SHA256:12")],
    ids=["slot", "no slot", "card", "fingerprint"],
)
def test_what_can_not_be_done_as_asked_is_two(options: tuple[str, ...], admin: Admin) -> None:
    assert admin.connect(1, *options) == 2


def test_an_empty_pin_is_two(paired: RemoteInThread, admin: Admin) -> None:
    assert admin.connect(paired.remote.port, pin="") == 2


def test_a_refusal_is_three(running: RemoteInThread, admin: Admin, capfd: pytest.CaptureFixture[str]) -> None:
    assert admin.connect(running.remote.port) == 3
    assert error_of(capfd) == "sra: error: This card is paired with no account."


def test_a_remote_without_a_reader_is_three(admin: Admin) -> None:
    with remote_in_thread(readers=0) as running:
        running.remote.accounts.paired[admin.certificate.fingerprint] = "ann"
        assert admin.connect(running.remote.port) == 3


def test_a_card_that_is_pulled_is_four(paired: RemoteInThread, admin: Admin, capfd: pytest.CaptureFixture[str]) -> None:
    paired.once(lambda: is_inserted(paired), (admin.cards / "ann.softcard").unlink)
    assert admin.connect(paired.remote.port) == 4
    assert "taken out" in error_of(capfd)
    assert not is_inserted(paired)


def test_no_card_is_four(paired: RemoteInThread, admin: Admin) -> None:
    assert admin.connect(paired.remote.port, "--card", "software:bob") == 4


def test_nobody_there_is_five(admin: Admin, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((HOST, 0)) as before:
        port = before.getsockname()[1]
    assert admin.connect(port) == 5
    assert f"{HOST} port {port} can't be reached" in error_of(capfd)


def test_a_link_that_breaks_is_five_for_who_wants_no_reconnection(paired: RemoteInThread, admin: Admin) -> None:
    def cut() -> None:
        for session in list(paired.remote.sessions._sessions):
            transport = session._channel._transport
            assert transport is not None
            transport.abort()

    paired.once(lambda: is_inserted(paired), cut)
    assert admin.connect(paired.remote.port, "--no-reconnect") == 5


def test_another_fingerprint_is_six_and_the_card_is_not_used(
    paired: RemoteInThread, admin: Admin, capfd: pytest.CaptureFixture[str]
) -> None:
    assert admin.connect(paired.remote.port, shown=fingerprint(b"another")) == 6
    assert "not the remote with the fingerprint that you gave" in capfd.readouterr().err
    assert paired.remote.accounts.asked == []


def test_a_changed_identity_is_six(paired: RemoteInThread, admin: Admin, capfd: pytest.CaptureFixture[str]) -> None:
    known = admin.config / "known_remotes"
    known.write_text(f"{HOST} {paired.remote.port} {fingerprint(b'another')} 2026-01-01\n")
    known.chmod(0o600)
    assert admin.connect(paired.remote.port, shown="") == 6
    assert "HAS CHANGED" in capfd.readouterr().err


def test_a_remembered_identity_needs_no_fingerprint(paired: RemoteInThread, admin: Admin) -> None:
    known = admin.config / "known_remotes"
    known.write_text(f"{HOST} {paired.remote.port} {identity().fingerprint} 2026-01-01\n")
    known.chmod(0o600)
    paired.once(lambda: is_inserted(paired), lambda: os.kill(os.getpid(), signal.SIGINT))
    assert admin.connect(paired.remote.port, shown="") == 0


def test_a_wrong_pin_is_seven_and_costs_one_try(
    paired: RemoteInThread, admin: Admin, capfd: pytest.CaptureFixture[str]
) -> None:
    assert admin.connect(paired.remote.port, pin="999999") == 7
    assert "2 tries are left" in error_of(capfd)
    assert CardFolder(admin.cards).read("ann").pin.tries == 2


def test_a_blocked_pin_is_seven_and_is_not_tried(paired: RemoteInThread, admin: Admin) -> None:
    for _ in range(3):
        admin.connect(paired.remote.port, pin="999999")
    assert admin.connect(paired.remote.port) == 7
    assert CardFolder(admin.cards).read("ann").pin.tries == 0


def test_a_remotes_text_reaches_the_terminal_as_nothing_but_text(
    running: RemoteInThread, admin: Admin, capfd: pytest.CaptureFixture[str]
) -> None:
    running.remote.accounts.paired[admin.certificate.fingerprint] = "\x1b]0;owned\x07[red]\u202e"
    assert admin.connect(running.remote.port) == 5
    shown = capfd.readouterr().err
    assert all(line.isprintable() for line in shown.splitlines())
    assert "could be taken for a part of a question" in shown


def test_an_audit_log_that_can_not_be_written_is_told_and_ends_nothing(
    paired: RemoteInThread, admin: Admin, capfd: pytest.CaptureFixture[str]
) -> None:
    (admin.config / "audit.jsonl").mkdir()
    paired.once(lambda: is_inserted(paired), lambda: os.kill(os.getpid(), signal.SIGINT))
    assert admin.connect(paired.remote.port) == 0
    assert "connected could not be recorded" in capfd.readouterr().err


# Slots.


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("9A", {Slot.AUTHENTICATION}),
        ("9a, 9C ,9d", {Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT}),
        ("9E,95,82", {Slot.CARD_AUTHENTICATION, Slot.RETIRED_20, Slot.RETIRED_1}),
        ("retired", {slot for slot in Slot if slot.is_retired}),
        ("9A,Retired,9A,", {Slot.AUTHENTICATION} | {slot for slot in Slot if slot.is_retired}),
    ],
)
def test_slots_are_named_as_the_standard_does(text: str, slots: set[Slot]) -> None:
    assert parse_slots(text) == slots


@pytest.mark.parametrize("text", ["", " , ", "9B", "96", "81", "all", "9A;9C", "9A 9C", "-1", "\x1b[31m"])
def test_what_is_no_slot_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_slots(text)
    assert str(refused.value).isprintable()


def nothing(_: str, **__: object) -> None:
    """Record nothing."""


async def test_a_kept_pin_is_overwritten_when_its_time_is_over(tmp_path: Path) -> None:
    async def never(remote: str, shown: str) -> bool:
        return False

    paths = admin_paths(tmp_path, {})
    view = StatusView(Console(file=io.StringIO()), "remote")
    options = ConnectOptions(frozenset(), pin_cache=1)
    front = UserInterface(
        TerminalPerson(view, pin_fd=None, yes=False), view, never, view.paused, print_note, print_note
    )
    config = load_admin_config(paths.config)
    memory = _lender(MemoryCard(), options, paths, config, front, "remote", nothing).memory
    memory.limit(0.01)
    memory.learn_right(PIN.encode())
    buffer = memory._pin
    assert bytes(buffer) == PIN.encode()
    await until(lambda: bytes(buffer) == bytes(len(PIN)))
