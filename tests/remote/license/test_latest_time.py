import logging
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.remote.license.latest_time import INTERVAL, LatestTime
from tests.remote.license.made import DAY, NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "latest-time"


def kept(path: Path, at: float) -> LatestTime:
    latest = LatestTime(path)
    latest.seen(at)
    latest.keep()
    return latest


def test_it_never_goes_back(path: Path) -> None:
    latest = LatestTime(path)
    assert [latest.seen(at) for at in (NOW, NOW - DAY, NOW + 1, 0.0)] == [NOW, NOW, NOW + 1, NOW + 1]


def test_it_survives_a_restart(path: Path) -> None:
    kept(path, NOW)
    assert path.read_text() == "2027-01-15T08:00:00+00:00"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert LatestTime(path).seen(NOW - DAY) == NOW


def test_it_is_written_at_once_and_then_every_few_minutes(path: Path) -> None:
    latest = LatestTime(path)
    latest.seen(NOW)
    assert latest.is_due(ends=NOW + DAY)
    latest.keep()
    for later, is_due in ((0, False), (INTERVAL - 1, False), (INTERVAL, True)):
        latest.seen(NOW + later)
        assert latest.is_due(ends=NOW + DAY) is is_due


def test_the_moment_of_expiry_is_never_missed(path: Path) -> None:
    latest = kept(path, NOW)
    latest.seen(NOW + 10)
    assert not latest.is_due(ends=NOW + 11)
    assert latest.is_due(ends=NOW + 10)
    latest.keep()
    assert not latest.is_due(ends=NOW + 10)


def test_where_it_cant_be_written_it_is_told_and_not_tried_again_at_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("not a folder")
    latest = LatestTime(path)
    with caplog.at_level(logging.ERROR, "sra.license"):
        latest.seen(NOW)
        latest.keep()
    assert "a clock set back goes unnoticed" in caplog.text
    assert not latest.is_due(ends=NOW + DAY)
    assert latest.seen(NOW - DAY) == NOW


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
