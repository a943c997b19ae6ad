import io
import logging
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra import logs
from sra.logs import LEVELS, TRAFFIC, clean, is_journal, set_up

log = logging.getLogger("sra.test")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    logger = logging.getLogger("sra")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


def lines(level: str, *, environment: dict[str, str] | None = None) -> list[str]:
    """What a record of every level leaves in the log."""
    stream = io.StringIO()
    set_up(level, stream, environment or {})
    for number in LEVELS.values():
        log.log(number, "at %d", number)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(("level", "count"), [("traffic", 5), ("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_a_level_shows_itself_and_what_is_graver(level: str, count: int) -> None:
    assert len(lines(level)) == count


def test_a_line_says_when_how_grave_and_who() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR sra\.test: at 40", lines("error")[0])
    assert "TRAFFIC sra.test: at 5" in lines("traffic")[0]


def test_a_line_about_a_session_begins_with_it_and_one_about_none_can_not(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        for journal in ({}, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}):
            set_up("info", stream, journal)
            log.info("%s: connected", "192.0.2.7", extra=logs.of_session("1a2b3c4d"))
            log.info("192.0.2.7: %s", "session=00000000", extra=logs.of_session(""))
        stream.seek(0)
        shown = stream.read().splitlines()
    assert [line.partition("sra.test: ")[2] for line in shown[:2]] == [
        "session=1a2b3c4d 192.0.2.7: connected",
        "192.0.2.7: session=00000000",
    ]
    assert shown[2:] == ["<6>session=1a2b3c4d 192.0.2.7: connected", "<6>192.0.2.7: session=00000000"]


def test_traffic_is_below_debug_so_a_debug_log_has_none() -> None:
    assert TRAFFIC < logging.DEBUG
    assert not any("TRAFFIC" in line for line in lines("debug"))


def test_setting_up_twice_does_not_log_twice() -> None:
    lines("debug")
    assert len(lines("error")) == 1


def test_the_journal_gets_priorities_and_no_dates(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        set_up("traffic", stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        for number in (*LEVELS.values(), logging.CRITICAL, 25, 1):
            log.log(number, "at %d", number)
        stream.seek(0)
        shown = stream.read().splitlines()
    assert shown == ["<7>at 5", "<7>at 10", "<6>at 20", "<4>at 30", "<3>at 40", "<2>at 50", "<6>at 25"]


def test_only_the_stream_that_the_journal_reads_is_the_journal_s(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": "rubbish"})
        assert not is_journal(stream, {})
    assert not is_journal(stream, {"JOURNAL_STREAM": "1:1"})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:1"})


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    stream = io.StringIO()
    set_up("info", stream, {})
    log.info("one\ntwo\r\nthree\x1b[2J\u2028four")
    log.error("seven", exc_info=ValueError("five\nsix"))
    shown = stream.getvalue().split("\n")
    assert len(shown) == 3
    assert "one | two | three?[2J | four" in shown[0]
    assert "ERROR sra.test: seven | ValueError" in shown[1]
    assert shown[1].endswith("ValueError: five | six")


def test_text_that_is_clean_stays_as_it_is() -> None:
    assert clean("Zoë Šimić 日本 (100 %)") == "Zoë Šimić 日本 (100 %)"


@pytest.mark.parametrize(
    "hidden",
    ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x9b", "\u200b", "\u202e", "\u2028", "\ufeff", "\ud800", "\U000e0001"],
)
def test_what_could_change_a_terminal_or_hide_is_replaced(hidden: str) -> None:
    assert clean(f"a{hidden}b") == "a?b"


@given(st.text(), st.integers(1, 50))
def test_text_is_never_longer_than_the_limit_and_always_printable(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert shown.endswith("…") or len(shown) == len(text)


def test_the_usual_limit_is_two_lines_of_a_terminal() -> None:
    assert len(clean("x" * 1000)) == logs.MAX_PEER_TEXT == 200


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "sra.log"
    descriptor = logs.begin_file(path)
    yield path, descriptor
    os.close(descriptor)


def test_processes_share_a_file_by_its_descriptor(shared: tuple[Path, int]) -> None:
    path, descriptor = shared
    say = "import sys, logging, sra.logs as l; l.set_up('info', sys.stderr); logging.getLogger('sra.x').info('y')"
    for _ in range(2):
        environment = {**os.environ, logs.FILE_VARIABLE: str(descriptor)}
        subprocess.run([sys.executable, "-c", say], env=environment, pass_fds=[descriptor], check=True)
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert all(line.endswith("INFO sra.x: y") for line in lines)
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_each_run_begins_a_file_and_keeps_the_last(shared: tuple[Path, int]) -> None:
    path, descriptor = shared
    os.write(descriptor, b"the last run\n")
    os.close(logs.begin_file(path))
    assert (path.read_text(), path.with_suffix(".old").read_text()) == ("", "the last run\n")


def test_a_link_in_the_file_s_place_is_not_written_to(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    (tmp_path / "sra.log").symlink_to(target)
    os.write(descriptor := logs.begin_file(tmp_path / "sra.log"), b"x")
    os.close(descriptor)
    assert target.read_bytes() == b""


def test_a_file_that_is_long_enough_takes_nothing_more(
    shared: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, descriptor = shared
    monkeypatch.setattr(logs, "MAX_FILE", 10)
    set_up("info", io.StringIO(), {logs.FILE_VARIABLE: str(descriptor)})
    log.info("a line that is longer")
    log.info("another")
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("value", ["", "rubbish", "-1", "9999"])
def test_a_descriptor_that_is_none_is_no_file(value: str) -> None:
    assert len(lines("error", environment={logs.FILE_VARIABLE: value})) == 1


def test_strangers_do_not_fill_the_log() -> None:
    now, stream = [0.0], io.StringIO()
    set_up("info", stream, {})
    (handler,) = logging.getLogger("sra").handlers
    handler.filters = [logs.RepetitionFilter(handler, lambda: now[0])]
    for number in range(20_000):
        now[0] = number / 10
        log.warning("%s: too many connections; this one is refused", f"198.51.100.{number % 256} text {number}")
    log.error("another line")
    logs.tell_counts(at_once=True)
    shown = stream.getvalue().splitlines()
    assert len(shown) <= 100 + 4 * 34 + 2
    assert sum("another line" in line for line in shown) == 1
    counted = [int(match[1]) for line in shown if (match := re.search(r": (\d+) lines like this, the latest: ", line))]
    assert sum(counted) + len(shown) - 1 - len(counted) == 20_000


def test_lines_that_were_asked_for_are_not_counted() -> None:
    stream = io.StringIO()
    set_up("debug", stream, {})
    for number in range(500):
        log.debug("number %d", number)
    assert len(stream.getvalue().splitlines()) == 500


def test_every_program_counts_its_lines(tmp_path: Path) -> None:
    descriptor = logs.begin_file(tmp_path / "sra.log")
    try:
        set_up("info", io.StringIO(), {logs.FILE_VARIABLE: str(descriptor)})
        handlers = logging.getLogger("sra").handlers
        assert [type(each.filters[0]) for each in handlers] == [logs.RepetitionFilter, logs.RepetitionFilter]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "invisible", ["\u3164", "\u115f", "\u1160", "\uffa0", "\u034f", "\u2800", "\ufe0f", "\U000e0100"]
)
def test_signs_that_show_nothing_are_not_shown(invisible: str) -> None:
    assert logs.clean(f"a{invisible}b") == "a?b"
