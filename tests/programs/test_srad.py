"""``srad`` as a process: what it listens on, whom it lets in, how it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sra.config import ConnectionLimits, load_daemon_config
from sra.errors import LinkError, RefusalCode, RefusedError
from sra.identity.x509_reading import fingerprint
from sra.ledger import refusals_path
from sra.paths import Paths
from sra.programs import srad
from sra.remote.daemon.daemon_audit import Recorder
from sra.remote.virtual_card import daemon_link
from sra.transport import tls_identity
from sra.wire.messages import Hello
from tests.loopback import DEADLINE, HOST, dial

SETTINGS = """\
listen = ["127.0.0.1"]
port = 0
local_port = 0
[limits]
per_address = 1000
"""
READY = re.compile(r"listening on port (\d+), and for the virtual card on 127\.0\.0\.1 port (\d+)")


def prepare(root: Path, settings: str = SETTINGS) -> Paths:
    paths = Paths(root)
    paths.etc.mkdir(parents=True)
    paths.config.write_text(settings)
    tls_identity.generate(paths.identity, ["localhost", HOST], datetime.now(UTC))
    return paths


def start(root: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "import sra.programs.srad; sra.programs.srad.main()",
        "--root",
        str(root),
        *options,
    ]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


class Running:
    """A srad, and what it said when it began."""

    def __init__(self, root: Path) -> None:
        self.paths = prepare(root)
        self.process = start(root)
        assert self.process.stderr is not None
        self.said: list[str] = []
        while "fingerprint" not in (line := self.process.stderr.readline()) and line:
            self.said.append(line)
        self.said.append(line)
        ports = READY.search("".join(self.said))
        assert ports is not None, self.said
        self.port, self.local_port = int(ports[1]), int(ports[2])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path / "root")
    yield started
    started.process.kill()
    started.process.wait()
    assert started.process.stderr is not None
    started.process.stderr.close()


def test_it_says_its_ports_and_its_fingerprint(running: Running) -> None:
    identity = tls_identity.load(running.paths.identity)
    assert identity.fingerprint in "".join(running.said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_at_once_and_says_goodbye(running: Running, number: signal.Signals) -> None:
    channel = await dial(running.port)
    assert fingerprint(channel.peer_certificate) == tls_identity.load(running.paths.identity).fingerprint
    begun = time.monotonic()
    assert await asyncio.to_thread(running.stop, number) == 0
    assert time.monotonic() - begun < 2
    await channel.wait_lost()


async def test_an_admin_is_answered_and_the_refusal_written_down(running: Running) -> None:
    channel = await dial(running.port)
    with pytest.raises(RefusedError) as refused:
        await channel.ask(Hello((99,), bytes(32), b""), DEADLINE)
    assert refused.value.code is RefusalCode.VERSION
    running.stop()
    assert '"refused"' in refusals_path(running.paths.audit).read_text()


async def test_a_virtual_card_is_attached_with_the_secret_that_was_made(running: Running) -> None:
    certificate = running.paths.identity / tls_identity.CERTIFICATE_FILE
    channel = await daemon_link.attach(running.local_port, 0, running.paths.local_secret, certificate)
    await channel.close("bye")
    other = running.paths.local_secret.with_name("other")
    other.write_bytes(bytes(32))
    with pytest.raises(LinkError):
        await daemon_link.attach(running.local_port, 0, other, certificate)


@pytest.mark.parametrize(
    ("settings", "status"), [("port = 'x'", 2), ("nonsense = 1", 2), ('listen = ["192.0.2.1"]\nport = 0', 5)]
)
def test_settings_that_can_not_serve_are_an_error_in_one_line(tmp_path: Path, settings: str, status: int) -> None:
    root = tmp_path / "root"
    prepare(root, settings if "port = 0" not in settings else f"{settings}\nlocal_port = 0")
    ended = start(root)
    _, said = ended.communicate(timeout=DEADLINE * 2)
    assert ended.returncode == status
    assert len([line for line in said.splitlines() if line.startswith("sra: error: ")]) == 1
    assert "Traceback" not in said


def test_without_an_identity_it_says_how_to_make_one(tmp_path: Path) -> None:
    ended = start(tmp_path)
    _, said = ended.communicate(timeout=DEADLINE * 2)
    assert ended.returncode == 2
    assert "sra identity generate" in said


# The secret of the local port.


def test_a_secret_that_is_there_is_used(tmp_path: Path) -> None:
    path = tmp_path / "run" / "local-secret"
    path.parent.mkdir()
    path.write_bytes(bytes(range(32)))
    assert srad._local_secret(path) == bytes(range(32))


@pytest.mark.parametrize("content", [None, b"", b"short", bytes(33)])
def test_a_secret_that_is_none_is_made_anew_and_nobody_else_can_read_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run" / "local-secret"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    secret = srad._local_secret(path)
    assert len(secret) == 32
    assert path.read_bytes() == secret
    assert not path.stat().st_mode & 0o007
    assert srad._local_secret(path) == secret


def test_two_secrets_differ(tmp_path: Path) -> None:
    assert srad._local_secret(tmp_path / "a" / "x") != srad._local_secret(tmp_path / "b" / "x")


# Settings and records.


def test_the_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "srad.toml"
    path.write_text("[limits]\nunauthenticated = 3\nper_address = 4\nper_seconds = 5\n")
    limits = srad._limits(load_daemon_config(path))
    assert (limits.strangers, limits.per_address, limits.period) == (3, 4, 5.0)
    defaults = srad._limits(load_daemon_config(tmp_path / "missing"))
    assert defaults.strangers == ConnectionLimits().unauthenticated


def test_records_are_written_to_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit.jsonl"
    Recorder(path)("authenticated", account="ann")
    assert '"ann"' in path.read_text()


def test_a_record_that_can_not_be_written_is_told_in_the_log_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("sra"), "propagate", True)
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "audit.jsonl", Path("/proc/self/nothing/audit.jsonl")):
        Recorder(path)("authenticated", account="ann")
    os.mkfifo(tmp_path / "fifo")
    Recorder(tmp_path / "fifo")("authenticated", account="ann")
    told = {record.message for record in caplog.records if "authenticated could not be recorded" in record.message}
    assert len(told) == 3
