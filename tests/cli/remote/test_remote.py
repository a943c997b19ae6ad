"""``sra remote run``: the processes that it keeps running, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sra import logs
from sra.cli.remote import remote
from sra.cli.remote.remote import Process, ProcessUser, Users
from sra.config import DaemonConfig
from sra.errors import UsageError
from sra.paths import Paths
from tests.loopback import until

ONESELF = ProcessUser(None, None)
NOTE = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')"
SLEEP = "; import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


@pytest.fixture(autouse=True)
def log_file(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The log that the processes share."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setenv(logs.FILE_VARIABLE, str(descriptor))
    yield
    os.close(descriptor)


def process(name: str, program: str, noted: Path) -> Process:
    """A process that notes its number in ``noted``, and does ``program``."""
    return Process(name, (sys.executable, "-c", program, str(noted)), ONESELF)


def numbers(noted: Path) -> list[int]:
    return [int(line) for line in noted.read_text().split()] if noted.exists() else []


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_that_ends_is_started_again_until_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "RESTART_WAIT", 0.01)
    ending, staying = tmp_path / "ending", tmp_path / "staying"
    supervising = asyncio.create_task(
        remote._supervise([process("ending", NOTE, ending), process("staying", NOTE + SLEEP, staying)])
    )
    await until(lambda: len(numbers(ending)) >= 3 and len(numbers(staying)) == 1)
    os.kill(os.getpid(), signal.SIGINT)
    await supervising
    assert len(set(numbers(ending))) == len(numbers(ending))
    assert not any(is_alive(number) for number in numbers(ending) + numbers(staying))


async def test_sigterm_ends_all_of_them_at_once(tmp_path: Path) -> None:
    noted = [tmp_path / str(number) for number in range(4)]
    supervising = asyncio.create_task(remote._supervise([process("x", NOTE + SLEEP, path) for path in noted]))
    await until(lambda: all(numbers(path) for path in noted))
    begun = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    await supervising
    assert time.monotonic() - begun < 2
    assert not any(is_alive(number) for path in noted for number in numbers(path))


async def test_a_process_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "STOP_DEADLINE", 0.1)
    noted = tmp_path / "stubborn"
    supervising = asyncio.create_task(remote._supervise([process("stubborn", STUBBORN + NOTE + SLEEP, noted)]))
    await until(lambda: bool(numbers(noted)))
    os.kill(os.getpid(), signal.SIGTERM)
    await supervising
    (number,) = numbers(noted)
    assert not is_alive(number)


async def test_a_process_that_can_not_be_started_is_an_error_and_ends_the_others(tmp_path: Path) -> None:
    noted = tmp_path / "other"
    missing = Process("missing", ("/nonexistent/program",), ONESELF)
    with pytest.raises(FileNotFoundError):
        await remote._supervise([process("other", NOTE + SLEEP, noted), missing])
    assert not any(is_alive(number) for number in numbers(noted))


def test_there_is_srad_and_a_virtual_card_for_each_reader() -> None:
    users = Users(ProcessUser(1, 1), ProcessUser(2, 2))
    srad, *cards = remote._processes(Paths(Path("/trial")), DaemonConfig(readers=3), users, "debug")
    assert (srad.name, srad.user) == ("srad", users.daemon)
    assert [card.name for card in cards] == ["sra-card 0", "sra-card 1", "sra-card 2"]
    assert {card.user for card in cards} == {users.card}
    for each in (srad, *cards):
        assert each.argv[-4:] == ("--root", "/trial", "--log-level", "debug")
    assert [card.argv[card.argv.index("--reader") + 1] for card in cards] == ["0", "1", "2"]


def test_the_helper_for_the_screen_is_among_them_where_its_account_is(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users(ProcessUser(61416, 61416), ProcessUser(61417, 61417))
    monkeypatch.setattr("sra.cli.remote.remote.pwd.getpwnam", lambda name: name)
    helper = remote._processes(Paths(), DaemonConfig(), users, "info")[-1]
    assert (helper.name, helper.user) == ("sra-screen", ProcessUser(None, None))
    assert helper.argv[3:] == (
        "import sra.programs.sra_screen; sra.programs.sra_screen.main()",
        "--daemon-uid", "61416", "--root", "/", "--log-level", "info",
    )  # fmt: skip
    without_root = remote._processes(Paths(), DaemonConfig(), Users(ONESELF, ONESELF), "info")
    assert "sra-screen" not in {process.name for process in without_root}


def test_the_processes_take_no_code_from_the_folder_they_are_started_in() -> None:
    (srad, *_) = remote._processes(Paths(), DaemonConfig(), Users(ONESELF, ONESELF), "info")
    assert srad.argv[:3] == (sys.executable, "-P", "-c")


def test_only_root_becomes_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert remote._users() == Users(ONESELF, ONESELF)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    users = remote._users()
    assert 0 not in {users.daemon.uid, users.card.uid}
    assert users.daemon != users.card


def test_a_user_has_the_number_of_its_account_where_there_is_one() -> None:
    assert remote._user("root", 5) == ProcessUser(0, 0)
    assert remote._user("no-such-user-here", 61416) == ProcessUser(61416, 61416)


def test_the_folders_and_the_secret_of_a_run_are_made(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    remote._make_folders(paths, Users(ONESELF, ONESELF))
    first = paths.local_secret.read_bytes()
    assert len(first) == 32
    assert stat.S_IMODE(paths.local_secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.readers.stat().st_mode) == 0o755
    assert stat.S_IMODE(paths.audit.parent.stat().st_mode) == 0o750
    remote._make_folders(paths, Users(ONESELF, ONESELF))
    assert paths.local_secret.read_bytes() != first


def test_a_file_of_roots_that_the_service_has_linked_as_its_log_stays_roots(tmp_path: Path) -> None:
    paths, service = Paths(tmp_path), ProcessUser(1, 1)
    roots, log, refusals = tmp_path / "shadow", paths.audit, paths.audit.with_name("audit-refusals.jsonl")
    log.parent.mkdir(parents=True)
    paths.identity.mkdir(parents=True)
    (paths.identity / "key.pem").touch()
    roots.write_text("root's")
    log.hardlink_to(roots)
    refusals.symlink_to(roots)
    remote._make_folders(paths, Users(service, service))
    assert (roots.stat().st_uid, log.parent.stat().st_uid) == (0, 1)
    log.unlink()
    log.touch()
    remote._make_folders(paths, Users(service, service))
    assert log.stat().st_uid == 1


def test_a_link_in_the_place_of_a_folder_is_not_given_to_anybody(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "root")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    paths.run.mkdir(parents=True)
    paths.readers.symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link"):
        remote._make_folders(paths, Users(ONESELF, ONESELF))
