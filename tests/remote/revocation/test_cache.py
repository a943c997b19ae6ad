import multiprocessing
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sra.remote.revocation.cache import Cache, CachedAnswer

THEN = datetime(2030, 1, 15, 12, tzinfo=UTC)
NOBODY = 65534


def kept(body: bytes = b"answer") -> CachedAnswer:
    return CachedAnswer("http://lists.example/a.crl", "ab" * 32, THEN, body)


def name(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "revocation"


def test_an_answer_comes_back_after_a_restart(folder: Path) -> None:
    Cache(folder).write(name(1), kept())
    assert Cache(folder).read(name(1)) == kept()
    assert list(Cache(folder).all()) == [(name(1), kept())]
    assert (folder.stat().st_mode & 0o777, (folder / name(1)).stat().st_mode & 0o777) == (0o700, 0o600)


def test_what_is_not_there_is_nothing(folder: Path) -> None:
    assert Cache(folder).read(name(1)) is None
    assert list(Cache(folder).all()) == []
    Cache(folder).remove(name(1))


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x80", b"\xc1" * 50])
def test_a_damaged_file_is_removed(folder: Path, data: bytes) -> None:
    Cache(folder).write(name(1), kept())
    (folder / name(1)).write_bytes(data)
    assert Cache(folder).read(name(1)) is None
    assert not (folder / name(1)).exists()


def test_a_file_that_others_may_write_is_not_used(folder: Path) -> None:
    Cache(folder).write(name(1), kept())
    (folder / name(1)).chmod(0o666)
    assert Cache(folder).read(name(1)) is None


def test_other_files_are_left_alone(folder: Path) -> None:
    cache = Cache(folder, max_files=1)
    cache.write(name(1), kept())
    (folder / "README").touch()
    cache.write(name(2), kept())
    assert (folder / "README").exists()
    assert [key for key, _ in cache.all()] == [name(2)]


def age(path: Path, hours: int) -> None:
    os.utime(path, (path.stat().st_mtime - 3600 * hours,) * 2)


def test_there_are_never_more_files_than_allowed_and_the_oldest_go(folder: Path) -> None:
    cache = Cache(folder, max_files=3)
    for number in range(3):
        cache.write(name(number), kept())
        age(folder / name(number), 3 - number)
    cache.write(name(3), kept())
    assert [key for key, _ in cache.all()] == [name(1), name(2), name(3)]
    cache.write(name(1), kept(b"new"))
    cache.write(name(4), kept())
    assert [key for key, _ in cache.all()] == [name(1), name(3), name(4)]


def test_there_are_never_more_bytes_than_allowed(folder: Path) -> None:
    cache = Cache(folder, max_bytes=3000)
    for number in range(10):
        cache.write(name(number), kept(bytes(800)))
        age(folder / name(number), 20 - number)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 3000
    assert [key for key, _ in cache.all()] == [name(7), name(8), name(9)]


def test_a_folder_that_can_not_be_written_is_no_error(folder: Path) -> None:
    folder.touch()
    Cache(folder).write(name(1), kept())
    assert Cache(folder).read(name(1)) is None


def test_what_root_keeps_belongs_to_the_service(tmp_path: Path, folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, NOBODY, NOBODY)
    Cache(folder).write(name(1), kept())
    assert {folder.stat().st_uid, (folder / name(1)).stat().st_uid} == {tmp_path.stat().st_uid}


def write_often(folder: Path, seed: int) -> None:
    cache = Cache(folder, max_files=5)
    for number in range(100):
        cache.write(name(number % 7), kept(bytes([seed]) * 5000))
        found = cache.read(name(number % 7))
        assert found is None or len(set(found.body)) == 1


def test_processes_that_write_at_once_leave_whole_answers(folder: Path) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=write_often, args=(folder, n)) for n in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert all(len(set(found.body)) == 1 for _, found in Cache(folder).all())
