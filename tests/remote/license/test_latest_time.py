import logging
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.remote.license.latest_time import INTERVAL, PACE, SETTLING, LatestTime
from tests.remote.license.made import DAY, NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "latest-time"


class Machine:
    """A clock, and what counts the seconds whatever the clock shows."""

    def __init__(self, path: Path, clock: float = NOW, *, kept: bool = True) -> None:
        if kept:
            LatestTime(path).accept(clock)
        self.clock, self.running = clock, 0.0
        self.latest = LatestTime(path, lambda: self.running)
        self.latest.seen(clock)

    def run(self, seconds: float, ahead: float = 0.0) -> float:
        """The time that counts, after so many seconds, with a clock that is wrong by ``ahead``."""
        self.clock += seconds
        self.running += seconds
        return self.latest.seen(self.clock + ahead)


def test_it_never_goes_back(path: Path) -> None:
    machine = Machine(path)
    assert machine.run(DAY) == NOW + DAY
    assert machine.run(10, ahead=-DAY) == NOW + DAY
    assert machine.run(0, ahead=1) == NOW + DAY + 11


def test_a_reading_far_ahead_counts_while_it_lasts_and_is_hardly_carried_on(path: Path) -> None:
    machine = Machine(path)
    assert machine.run(60, ahead=3650 * DAY) == NOW + 60 + 3650 * DAY
    assert machine.run(0) == NOW + 60 * PACE
    assert machine.run(60 * PACE) == machine.clock


def test_what_was_off_for_a_month_catches_up_in_little_more_than_a_day(path: Path) -> None:
    machine = Machine(path)
    machine.clock += 30 * DAY
    for _ in range(32):
        machine.run(3600)
    assert machine.latest.seen(0.0) == machine.clock


def test_a_machine_that_runs_an_hour_a_day_keeps_up(path: Path) -> None:
    machine = Machine(path)
    for _ in range(30):
        machine.clock += DAY - 3600
        machine.run(3600)
    assert machine.latest.seen(0.0) == machine.clock


def test_restarting_again_and_again_carries_no_further(path: Path) -> None:
    Machine(path)
    for _ in range(1000):
        again = LatestTime(path)
        again.seen(NOW + 3650 * DAY)
        again.keep()
    assert LatestTime(path).seen(0.0) < NOW + 3600


def test_without_anything_kept_the_first_hour_carries_nothing(path: Path) -> None:
    machine = Machine(path, kept=False)
    assert machine.run(SETTLING - 1, ahead=3650 * DAY) > NOW + 3650 * DAY
    assert not machine.latest.is_due(ends=NOW)
    assert machine.latest.seen(NOW) == NOW
    machine.run(1)
    assert machine.latest.is_due(ends=NOW + DAY)
    assert machine.run(1, ahead=-DAY) == NOW + SETTLING


def test_it_survives_a_restart(path: Path) -> None:
    machine = Machine(path)
    machine.run(INTERVAL)
    machine.latest.keep()
    assert path.read_text() == "2027-01-15T08:05:00+00:00"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert LatestTime(path).seen(NOW - DAY) == NOW + INTERVAL


def test_it_is_written_every_few_minutes(path: Path) -> None:
    machine = Machine(path)
    assert not machine.latest.is_due(ends=NOW + DAY)
    machine.run(INTERVAL - 1)
    assert not machine.latest.is_due(ends=NOW + DAY)
    machine.run(1)
    assert machine.latest.is_due(ends=NOW + DAY)


def test_the_moment_of_expiry_is_never_missed(path: Path) -> None:
    machine = Machine(path)
    machine.run(10)
    assert not machine.latest.is_due(ends=NOW + 11)
    assert machine.latest.is_due(ends=NOW + 10)
    machine.latest.keep()
    assert not machine.latest.is_due(ends=NOW + 10)


def test_what_another_process_accepted_is_not_overwritten(path: Path) -> None:
    machine = Machine(path, NOW + 3650 * DAY)
    machine.run(INTERVAL)
    LatestTime(path).accept(NOW)
    machine.latest.keep()
    assert LatestTime(path).read() == NOW
    assert machine.latest.seen(NOW) == NOW


def test_where_it_cant_be_written_it_is_told_and_not_tried_again_at_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("not a folder")
    machine = Machine(path, kept=False)
    machine.run(SETTLING)
    with caplog.at_level(logging.ERROR, "sra.license"):
        machine.latest.keep()
    assert "a clock set back goes unnoticed" in caplog.text
    assert not machine.latest.is_due(ends=NOW + DAY * 2)
    assert machine.latest.seen(NOW - DAY) == NOW + SETTLING


@pytest.mark.parametrize("content", [b"", b"yesterday", b"\xff", b"9" * 65, b"2027-01-15T08:00:00+99:00"])
def test_a_damaged_file_is_told_and_counts_for_nothing(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with caplog.at_level(logging.ERROR, "sra.license"):
        assert LatestTime(path).seen(NOW) == NOW
    assert str(path) in caplog.text
    with pytest.raises(UsageError, match=str(path)):
        LatestTime(path).read()


def test_without_a_file_there_is_none(path: Path) -> None:
    assert LatestTime(path).read() == 0.0


@given(st.binary(max_size=70))
def test_garbage_is_an_error_or_a_time(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("state") / "latest-time"
    path.write_bytes(data)
    assert LatestTime(path).seen(NOW) >= NOW
