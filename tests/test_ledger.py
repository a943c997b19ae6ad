"""Floods of refusals, as hostile machines make them for hours: what people decided is still there afterwards."""

from __future__ import annotations

import heapq
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from sra import audit
from sra.admin import audit_trail
from sra.admin.audit_trail import AuditTrail
from sra.admin.events import BY_PERSON, Connected, Ejected, Flooded, Inserted, KeyUsed, LinkLost, PinAsked, Refused
from sra.audit import AuditError, Bounds, Fact
from sra.errors import RefusalCode
from sra.ledger import ONCE_A_MINUTE, EventRule, Ledger, network, refusals_path
from sra.piv.keys import Operation, PinOutcome, Slot
from sra.remote.daemon import daemon_audit
from tests.admin.watching import Watching

SMALL = Bounds(64 * 1024, 4)
"""A four-hundredth of what is kept: what washes that away in hours needs weeks for the real thing."""
HOUR = 3600


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Machine:
    """A machine's audit, whose clock is in the test's hands."""

    def __init__(self, folder: Path, rules: object, bounds: Bounds = SMALL) -> None:
        self.path = folder / "audit.jsonl"
        self.clock = Clock()
        self.ledger = Ledger(self.path, rules, self.clock, bounds)  # type: ignore[arg-type]

    def records(self) -> list[audit.AuditRecord]:
        both = [each for each in (self.path, refusals_path(self.path)) if each.exists()]
        return list(heapq.merge(*(audit.read(each) for each in both), key=lambda record: record.time))

    def counted(self, event: str) -> int:
        """How many there were of an event: those written, and those counted."""
        found = [record.facts for record in self.records() if record.event == event]
        return sum(number if isinstance(number := facts.get("repeated", 1), int) else 0 for facts in found)

    def bytes(self) -> int:
        return sum(each.stat().st_size for each in self.path.parent.iterdir())

    def is_whole(self) -> bool:
        both = [each for each in (self.path, refusals_path(self.path)) if each.exists()]
        return all(audit.verify(each) is None for each in both)


def test_a_hostile_remote_does_not_wash_away_what_the_admin_decided(tmp_path: Path) -> None:
    machine = Machine(tmp_path, audit_trail.rule_for)
    trail = AuditTrail(machine.ledger.record, "remote", Watching())
    trail.notice(Connected("ann", "host", "1a2b3c4d"))
    for number in range(20):
        trail.notice(KeyUsed(Slot.AUTHENTICATION, Operation.SIGN, "sha256", bytes([number]) * 32, 12.0))
    trail.notice(Refused("sign with slot 9A", "the person said no", BY_PERSON))
    evidence = machine.path.read_bytes()
    asked = 0
    while machine.clock.now < 3.2 * HOUR:
        for code in list(RefusalCode)[:8]:
            trail.notice(Refused(f"sign with slot {asked % 256:02X}", f"text of the remote {asked}", code))
            asked += 1
        machine.clock.now += 6
    machine.ledger.write_counts(at_once=True)
    assert machine.path.read_bytes().startswith(evidence)
    assert not audit.full_files(machine.path)
    assert machine.is_whole()
    assert machine.bytes() <= 2 * SMALL.file_size * (SMALL.full_files + 1)
    lines = [record for record in machine.records() if record.event == "refused"]
    assert len(lines) <= 8 * 60 * 3.3
    assert not audit.full_files(refusals_path(machine.path)) or len(lines) > 100


@pytest.mark.parametrize("session", ["one", "many"])
def test_short_sessions_one_after_the_other_are_counted_too(session: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, audit_trail.rule_for, Bounds(1024 * 1024, 4))
    trail = AuditTrail(machine.ledger.record, "remote", Watching())
    trail.notice(KeyUsed(Slot.AUTHENTICATION, Operation.SIGN, "sha256", bytes(32), 12.0))
    evidence, number = machine.path.read_bytes(), 0
    while machine.clock.now < 2 * HOUR:
        number += 1
        name = f"{number:08x}" if session == "many" else "1a2b3c4d"
        trail.notice(Connected("ann", "host", name))
        trail.notice(Inserted("reader 0"))
        trail.notice(PinAsked(True, PinOutcome.WRONG))
        trail.notice(Ejected("gone"))
        trail.notice(LinkLost("The connection broke.", 0.5))
        trail.notice(Refused("PIN check", f"session {name}", RefusalCode.NOT_ALLOWED))
        machine.clock.now += 1.3
    machine.ledger.write_counts(at_once=True)
    first = next(iter(audit.full_files(machine.path)), machine.path)
    assert first.read_bytes().startswith(evidence)
    assert machine.counted("connected") == number
    assert machine.is_whole()


def strangers(number: int) -> dict[str, Fact]:
    """A refusal of a stranger from one of many networks."""
    if number % 2:
        return {"address": f"198.51.{number // 7 % 256}.{number % 251}", "code": RefusalCode.PROOF}
    return {"address": f"2001:db8:{number % 65536:x}:{number % 13:x}::1", "code": RefusalCode.NOT_PAIRED}


def test_strangers_do_not_wash_away_whom_the_remote_let_in(tmp_path: Path) -> None:
    machine = Machine(tmp_path, daemon_audit.rule_for)
    let_in: dict[str, Fact] = {"account": "ann", "address": "192.0.2.7", "key": "ab" * 32, "session": "1a2b3c4d"}
    machine.ledger.record("authenticated", **let_in)
    machine.ledger.record("key-use", outcome="done", slot="9A", **let_in)
    evidence, number = machine.path.read_bytes(), 0
    while machine.clock.now < 2.8 * HOUR:
        for _ in range(5):
            number += 1
            machine.ledger.record("refused", **strangers(number))
        machine.clock.now += 6
    machine.ledger.write_counts(at_once=True)
    assert machine.path.read_bytes() == evidence
    assert machine.is_whole()
    assert machine.bytes() <= 2 * SMALL.file_size * (SMALL.full_files + 1)
    assert len(machine.ledger._of_refusals) < 100
    lines = Counter(record.event for record in machine.records())["refused"]
    assert lines < 60 * (32 + 3)


def test_the_sum_of_all_strangers_is_right(tmp_path: Path) -> None:
    machine = Machine(tmp_path, daemon_audit.rule_for, Bounds())
    for number in range(5000):
        machine.ledger.record("refused", **strangers(number))
        machine.clock.now += 0.05
    machine.ledger.write_counts(at_once=True)
    assert machine.counted("refused") == 5000


def test_a_paired_card_that_asks_without_end_displaces_little(tmp_path: Path) -> None:
    machine = Machine(tmp_path, daemon_audit.rule_for, Bounds(256 * 1024, 4))
    machine.ledger.record("authenticated", account="bob", address="192.0.2.9", key="cd" * 32, session="00000001")
    evidence, number = machine.path.read_bytes(), 0
    facts = {"account": "eve", "address": "192.0.2.7", "key": "ab" * 32}
    while machine.clock.now < 2 * HOUR:
        number += 1
        for event in ("authenticated", "inserted", "ejected", "disconnected"):
            machine.ledger.record(event, session=f"{number:08x}", **facts)
        machine.ledger.record("key-use", outcome="refused: not-allowed", slot="9A", session=f"{number:08x}", **facts)
        machine.clock.now += 2.5
    machine.ledger.write_counts(at_once=True)
    first = next(iter(audit.full_files(machine.path)), machine.path)
    assert first.read_bytes().startswith(evidence)
    assert machine.counted("key-use") == number
    assert machine.is_whole()


def test_neither_does_one_that_comes_with_a_new_certificate_each_time(tmp_path: Path) -> None:
    """Its key stays the same, whatever it signs for it."""
    machine = Machine(tmp_path, daemon_audit.rule_for, Bounds(256 * 1024, 4))
    machine.ledger.record("authenticated", account="bob", address="192.0.2.9", key="cd" * 32, card="bob")
    evidence, number = machine.path.read_bytes(), 0
    while machine.clock.now < HOUR:
        number += 1
        for event in ("authenticated", "disconnected"):
            machine.ledger.record(event, account="eve", key="ab" * 32, card=f"{number:064x}")
        machine.clock.now += 5
    assert machine.path.read_bytes().startswith(evidence)
    assert len(machine.path.read_bytes().splitlines()) <= 1 + 2 * (120 + 31)


def test_requests_of_a_flood_are_added_up(tmp_path: Path) -> None:
    machine = Machine(tmp_path, audit_trail.rule_for)
    trail = AuditTrail(machine.ledger.record, "remote", Watching())
    for _ in range(100):
        trail.notice(Flooded(50))
    machine.ledger.write_counts(at_once=True)
    assert [record.facts["refused"] for record in machine.records()] == [50, 4950]


def test_a_remote_that_ejects_without_end_hides_no_ejection_by_hand(tmp_path: Path) -> None:
    machine = Machine(tmp_path, audit_trail.rule_for)
    trail = AuditTrail(machine.ledger.record, "remote", Watching())
    for _ in range(150):
        trail.notice(Ejected("out"))
        machine.clock.now += 1
    trail.notice(Ejected("The person ejected the card.", wished=True))
    assert [record.facts["wished"] for record in audit.read(machine.path)] == [False] * 121 + [True]


def test_noes_of_the_person_are_decisions() -> None:
    assert not audit_trail.rule_for("refused", {"code": BY_PERSON}).is_refusal
    assert audit_trail.rule_for("refused", {"code": "not-allowed"}).is_refusal
    for event in ("paused", "real-pin-typed", "code-closed", "key-use", "connected"):
        assert not audit_trail.rule_for(event, {}).is_refusal


def always(_: str, __: Mapping[str, Fact]) -> EventRule:
    return EventRule(ONCE_A_MINUTE, is_refusal=True)


def test_a_wall_clock_set_back_or_a_process_begun_anew_breaks_no_chain(tmp_path: Path) -> None:
    for _ in range(3):
        machine = Machine(tmp_path, always)
        for _ in range(10):
            machine.ledger.record("refused")
        machine.clock.now += 61
        machine.ledger.write_counts()
    assert machine.counted("refused") == 30
    assert machine.is_whole()


def test_a_full_disk_loses_no_number(tmp_path: Path) -> None:
    machine = Machine(tmp_path, always)
    for _ in range(10):
        machine.ledger.record("refused")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (refusals_path(machine.path).stat().st_size + 10, old[1]))
    try:
        with pytest.raises(AuditError):
            machine.ledger.write_counts(at_once=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    machine.ledger.write_counts(at_once=True)
    assert machine.counted("refused") == 10
    assert machine.is_whole()


KILLED = """
import sys
from pathlib import Path
from sra.ledger import Ledger
from sra.remote.daemon.daemon_audit import rule_for
ledger = Ledger(Path(sys.argv[1]), rule_for)
print("ready", flush=True)
while True:
    ledger.record("refused", address="192.0.2.7", code="proof")
    ledger.record("key-use", outcome="done", card="ab")
    ledger.write_counts(at_once=True)
"""


def test_kill_minus_9_leaves_the_chains_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while not (path.exists() and path.stat().st_size > 20_000):
            os.sched_yield()
        process.kill()
    assert audit.verify(path) is None
    assert audit.verify(refusals_path(path)) is None


@pytest.mark.parametrize(
    ("address", "of"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("ab" * 32, "ab" * 32),
        ("", ""),
    ],
)
def test_addresses_of_one_network_count_as_one(address: str, of: str) -> None:
    assert network(address) == of
