import fcntl
import hashlib
import itertools
import json
import multiprocessing
import os
import resource
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra import audit
from sra.audit import Audit, AuditError, Bounds, Damage, full_files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "audit.jsonl"


@pytest.fixture
def ten_records(path: Path) -> list[bytes]:
    for number in range(10):
        Audit(path).record("key-use", number=number)
    return path.read_bytes().splitlines(keepends=True)


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def test_a_record_is_a_line_with_time_event_and_facts(path: Path) -> None:
    Audit(path).record("key-use", account="alice", slot=0x9A, allowed=True, reason=None)
    (record,) = records(path)
    assert list(record) == ["time", "event", "facts", "previous"]
    assert record["event"] == "key-use"
    assert record["facts"] == {"account": "alice", "slot": 154, "allowed": True, "reason": None}
    written = datetime.fromisoformat(str(record["time"]))
    assert timedelta() <= datetime.now(UTC) - written < timedelta(seconds=10)
    assert str(record["time"]).endswith("Z")


def test_only_its_owner_reads_the_log(path: Path) -> None:
    Audit(path).record("start")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_fact_may_be_called_event(path: Path) -> None:
    Audit(path).record("start", event="x", path="y")
    assert records(path)[0]["facts"] == {"event": "x", "path": "y"}


def test_text_of_a_peer_can_neither_start_a_line_nor_fill_the_log(path: Path) -> None:
    Audit(path).record("refused", text='x\n{"time":"\x1b[2J' + "y" * 100_000)
    assert len(path.read_bytes().splitlines()) == 1
    assert len(path.read_bytes()) < 2000
    assert "\x1b" not in json.loads(path.read_text())["facts"]["text"]


def test_the_chain_goes_on_after_a_restart(path: Path, ten_records: list[bytes]) -> None:
    assert audit.verify(path) is None
    assert records(path)[0]["previous"] == audit.FIRST
    Audit(path).record("start")
    assert audit.verify(path) is None


def test_a_line_changed_anywhere_is_found_at_the_latest_by_the_next(path: Path, ten_records: list[bytes]) -> None:
    for position in range(9):
        changed = list(ten_records)
        changed[position] = changed[position].replace(b'"number":', b'"numbeR":')
        path.write_bytes(b"".join(changed))
        assert audit.verify(path) == Damage(path, position + 2)


def test_a_line_removed_added_or_moved_is_found(path: Path, ten_records: list[bytes]) -> None:
    lines = ten_records
    for changed, broken in (
        (lines[:4] + lines[5:], 5),
        (lines[1:], 1),
        ([*lines[:3], lines[2], *lines[3:]], 4),
        ([*lines[:3], lines[4], lines[3], *lines[5:]], 4),
        ([*lines[:3], b"\n", *lines[3:]], 4),
        ([*lines[:3], b"x" * 100_000 + b"\n", *lines[3:]], 4),
        ([*lines[:9], lines[9][:-1]], 10),
    ):
        path.write_bytes(b"".join(changed))
        assert audit.verify(path) == Damage(path, broken)


def test_a_line_torn_by_a_power_cut_stays_broken_and_the_chain_goes_on(path: Path, ten_records: list[bytes]) -> None:
    path.write_bytes(b"".join(ten_records)[:-20])
    Audit(path).record("start")
    Audit(path).record("key-use")
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 12
    assert audit.verify(path) == Damage(path, 10)
    path.write_bytes(lines[10].replace(json.loads(lines[10])["previous"].encode(), audit.FIRST.encode()))
    assert audit.verify(path) is None


def test_an_empty_log_is_whole_and_a_missing_one_is_not(path: Path) -> None:
    with pytest.raises(AuditError, match=r"audit\.jsonl"):
        audit.verify(path)
    path.parent.mkdir()
    path.touch()
    assert audit.verify(path) is None


def test_a_full_disk_is_an_error_and_leaves_no_half_record(path: Path, ten_records: list[bytes]) -> None:
    before = path.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, old[1]))
    try:
        with pytest.raises(AuditError, match=str(path)):
            Audit(path).record("key-use", number=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert path.read_bytes() == before
    Audit(path).record("key-use", number=11)
    assert audit.verify(path) is None


def test_a_link_a_pipe_or_a_folder_is_not_written_to(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    target = tmp_path / "target"
    target.touch()
    path.symlink_to(target)
    with pytest.raises(AuditError):
        Audit(path).record("start")
    assert target.read_bytes() == b""
    path.unlink()
    path.mkdir()
    with pytest.raises(AuditError):
        Audit(path).record("start")
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(AuditError):
        Audit(path).record("start")


@pytest.mark.parametrize("name", ["audit.jsonl", "audit-000001.jsonl"])
def test_a_pipe_in_the_services_folder_keeps_no_reader_waiting(tmp_path: Path, name: str) -> None:
    """Root reads there ("sra audit", "sra doctor"), and the service, which may be broken into, can make one."""
    os.mkfifo(tmp_path / name)
    path = tmp_path / "audit.jsonl"
    program = f"""\
from pathlib import Path
from sra import audit
for read in (audit.verify, lambda path: list(audit.read(path)), lambda path: audit.Audit(path).record("start")):
    try:
        read(Path({str(path)!r}))
        print("read")
    except audit.AuditError:
        print("refused")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert ended.stdout.split() == ["refused"] * 3


def test_a_lock_that_the_service_keeps_keeps_no_reader_waiting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PATIENCE", 0.1)
    Audit(path).record("start")
    with path.open("rb") as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        with pytest.raises(AuditError, match="keeps it locked"):
            audit.verify(path)
    assert audit.verify(path) is None


def test_a_record_that_is_too_long_is_an_error(path: Path) -> None:
    with pytest.raises(AuditError, match="too long"):
        Audit(path).record("start", **{f"fact{number}": "x" * 1000 for number in range(300)})
    assert path.read_bytes() == b""


def test_a_log_of_root_in_the_service_s_folder_is_the_service_s(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
    Audit(tmp_path / "audit.jsonl").record("start")
    assert (tmp_path / "audit.jsonl").stat().st_uid == tmp_path.stat().st_uid


SMALL = Bounds(file_size=1000, full_files=3)
"""Some six records in a file."""


def fill(path: Path, count: int, bounds: Bounds = SMALL) -> None:
    for number in range(count):
        Audit(path, bounds).record("key-use", number=number)


def numbers(path: Path) -> list[object]:
    return [record.facts["number"] for record in audit.read(path)]


def test_a_full_file_is_put_aside_and_the_chain_goes_on(path: Path) -> None:
    fill(path, 20)
    assert [file.name for file in full_files(path)] == [f"audit-00000{number}.jsonl" for number in (1, 2, 3)]
    assert all(file.stat().st_size <= 1000 for file in (*full_files(path), path))
    last = full_files(path)[-1].read_bytes().splitlines()[-1]
    assert records(path)[0]["previous"] == hashlib.sha256(last).hexdigest()
    assert audit.verify(path) is None
    assert numbers(path) == list(range(20))


def test_the_oldest_files_are_deleted_and_the_rest_is_whole(path: Path) -> None:
    fill(path, 100)
    assert len(full_files(path)) == 3
    assert audit.verify(path) is None
    found = numbers(path)
    assert found == list(range(100 - len(found), 100))
    assert 18 <= len(found) <= 28


def test_what_is_changed_in_a_full_file_is_found_with_its_name(path: Path) -> None:
    fill(path, 20)
    for file in full_files(path):
        before = file.read_bytes()
        lines = before.splitlines(keepends=True)
        file.write_bytes(b"".join([*lines[:2], lines[2].replace(b"number", b"numbeR"), *lines[3:]]))
        assert audit.verify(path) == Damage(file, 4)
        file.write_bytes(before)
    assert audit.verify(path) is None


def test_the_last_line_of_a_full_file_is_vouched_for_by_the_next_file(path: Path) -> None:
    fill(path, 20)
    files = [*full_files(path), path]
    for file, following in itertools.pairwise(files):
        before = file.read_bytes()
        file.write_bytes(b"".join(before.splitlines(keepends=True)[:-1]))
        assert audit.verify(path) == Damage(following, 1)
        file.write_bytes(before)


def test_a_file_missing_in_between_or_before_the_first_is_found(path: Path) -> None:
    fill(path, 20)
    first, second, third = full_files(path)
    second.rename(path.parent / "elsewhere")
    assert audit.verify(path) == Damage(third, 1)
    (path.parent / "elsewhere").rename(second)
    for file in (first, second, third):
        file.unlink()
    assert audit.verify(path) == Damage(path, 1)


def test_a_crash_between_two_files_loses_nothing(path: Path) -> None:
    fill(path, 5)
    path.rename(path.with_name("audit-000001.jsonl"))
    assert audit.verify(path) is None
    fill(path, 1)
    assert audit.verify(path) is None
    assert len(list(audit.read(path))) == 6


def test_a_torn_line_at_the_end_of_a_full_file_is_all_that_is_damaged(path: Path) -> None:
    fill(path, 5)
    torn = path.with_name("audit-000001.jsonl")
    torn.write_bytes(path.read_bytes()[:-5])
    path.unlink()
    fill(path, 2)
    assert audit.verify(path) == Damage(torn, 5)
    assert numbers(path) == [0, 1, 2, 3, 0, 1]


def test_files_of_other_names_are_not_ours(path: Path) -> None:
    fill(path, 8)
    for name in ("audit-1.jsonl", "audit-00000x.jsonl", "audit-000009.json", "other-000009.jsonl"):
        (path.parent / name).write_bytes(b"x")
    assert audit.verify(path) is None
    assert [file.name for file in full_files(path)] == ["audit-000001.jsonl"]


def test_reading_stops_at_what_was_there_when_it_began(path: Path) -> None:
    fill(path, 3)
    reading = audit.read(path)
    assert next(reading).facts == {"number": 0}
    fill(path, 50)
    assert [record.facts["number"] for record in reading] == [1, 2]


def test_damaged_lines_are_left_out_of_what_is_read(path: Path, ten_records: list[bytes]) -> None:
    path.write_bytes(b"".join([*ten_records[:3], b"rubbish\n", *ten_records[3:]]))
    assert numbers(path) == list(range(10))


def record_many(path: Path) -> None:
    for number in range(100):
        Audit(path).record("key-use", process=os.getpid(), number=number)


def record_many_in_small_files(path: Path) -> None:
    for number in range(100):
        Audit(path, Bounds(file_size=1000, full_files=1000)).record("key-use", process=os.getpid(), number=number)


def test_processes_that_fill_files_at_the_same_time_write_one_chain(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=record_many_in_small_files, args=(path,)) for _ in range(3)]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        if path.exists():
            assert audit.verify(path) is None
    found = list(audit.read(path))
    assert audit.verify(path) is None
    assert len(found) == 300
    assert len({(record.facts["process"], record.facts["number"]) for record in found}) == 300


def test_two_processes_write_one_chain(path: Path) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=record_many, args=(path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(records(path)) == 200
    assert audit.verify(path) is None


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=200),
        max_size=5,
    )
)
def test_any_facts_make_one_line_that_verifies(
    tmp_path_factory: pytest.TempPathFactory, facts: dict[str, audit.Fact]
) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    Audit(path).record("start")
    Audit(path).record("key-use", **facts)
    assert len(records(path)) == 2
    assert audit.verify(path) is None


@given(st.binary(max_size=300))
def test_any_bytes_verify_or_not_but_never_fail(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    path.write_bytes(data)
    assert (audit.verify(path) is None) == (data == b"")
    Audit(path).record("start")
