import multiprocessing
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sra.system import files
from sra.system.files import FileError

NOBODY = 65534


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """No file can grow beyond ``size``, as if the disk were full."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_a_file_comes_back_as_it_was_written(path: Path) -> None:
    files.replace(path, b"content", 0o640)
    content = files.read(path, 7)
    assert content is not None
    assert (content.data, content.mode) == (b"content", 0o640)


def test_the_mode_does_not_depend_on_the_umask(path: Path) -> None:
    old = os.umask(0o777)
    try:
        files.replace(path, b"", 0o644)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077])
def test_nor_does_a_folders_nor_what_is_above_one_that_everybody_enters(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.make_folder(tmp_path / "a" / "b", 0o755)
        files.make_folder(tmp_path / "c" / "d", 0o700)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "c", "c/d")]
    assert modes == [0o755, 0o755, 0o777 & ~umask, 0o700]


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(0o750)
    files.make_folder(tmp_path / "a", 0o755)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o750


def test_no_file_is_no_content(path: Path) -> None:
    assert files.read(path, 1) is None
    assert files.read_trusted(path, 1) is None
    assert files.stamp(path) == ()


def test_a_file_beyond_the_limit_is_refused(path: Path) -> None:
    path.write_bytes(b"12")
    with pytest.raises(FileError, match="longer than 1 bytes"):
        files.read(path, 1)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)
    with pytest.raises(FileError, match="chmod go-w"):
        files.read(path, 1)


def test_a_symbolic_link_is_refused(path: Path) -> None:
    path.symlink_to("/etc/hostname")
    with pytest.raises(FileError, match="symbolic link"):
        files.read(path, 1000)


def test_a_pipe_or_a_folder_is_refused_without_waiting(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(FileError, match="not a plain file"):
        files.read(path, 1)
    with pytest.raises(FileError, match="not a plain file"):
        files.read(tmp_path, 1)


def test_a_symbolic_link_is_replaced_and_its_target_left_alone(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    path.symlink_to(target)
    files.replace(path, b"ours", 0o600)
    assert target.read_text() == "theirs"
    assert not path.is_symlink()
    assert path.read_text() == "ours"


def test_a_full_disk_leaves_the_old_file_and_no_draft(path: Path, tmp_path: Path) -> None:
    files.replace(path, b"old", 0o600)
    with disk_full_after(4096), pytest.raises(FileError, match=str(path)):
        files.replace(path, b"x" * 5000, 0o600)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Create the folder first"):
        files.replace(tmp_path / "no" / "file", b"", 0o600)
    with pytest.raises(FileError, match="Create the folder first"), files.locked(tmp_path / "no" / "file"):
        pass


def test_a_folder_that_can_not_be_is_said_so(path: Path) -> None:
    path.touch()
    for attempt in (
        lambda: files.make_folder(path / "below", 0o700),
        lambda: files.read(path / "below", 1),
        lambda: files.stamp(path / "below"),
    ):
        with pytest.raises(FileError, match="Not a directory"):
            attempt()


def test_the_stamp_changes_with_every_change(path: Path) -> None:
    seen = set()
    for data in (b"a", b"b", b"a"):
        files.replace(path, data, 0o600)
        seen.add(files.stamp(path))
    path.chmod(0o640)
    seen.add(files.stamp(path))
    assert len(seen) == 4


def test_content_has_a_stamp_once_its_file_has_settled(path: Path) -> None:
    path.write_bytes(b"new")
    content = files.read(path, 3)
    assert content is not None
    assert content.stamp is None
    old = files.read(Path("/etc/hostname"), 1000)
    assert old is not None
    assert old.stamp == files.stamp(Path("/etc/hostname"))


def test_without_rights_the_person_learns_which_are_needed(path: Path, tmp_path: Path) -> None:
    path.write_text("secret")
    path.chmod(0o000)
    tmp_path.chmod(0o555)
    program = f"from sra.system import files; from pathlib import Path; files.read(Path({str(path)!r}), 9)"
    user = NOBODY if os.geteuid() == 0 else None
    ended = subprocess.run([sys.executable, "-c", program], user=user, capture_output=True, text=True, check=False)
    assert "Permission denied" in ended.stderr
    assert "run this as root" in ended.stderr


def test_what_root_writes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, NOBODY, NOBODY)
    files.replace(tmp_path / "file", b"", 0o600)
    with files.locked(tmp_path / "file"):
        pass
    owner = tmp_path.stat().st_uid
    assert {entry.stat().st_uid for entry in tmp_path.iterdir()} == {owner}


def test_root_gives_no_file_away_that_has_a_second_name(tmp_path: Path) -> None:
    """A service that was broken into links a file of root's to where root makes the lock of its own."""
    service, valuable = tmp_path / "service", tmp_path / "valuable"
    service.mkdir()
    if os.geteuid() == 0:
        os.chown(service, NOBODY, NOBODY)
    valuable.write_text("root's")
    os.link(valuable, service / ".file.lock")
    with files.locked(service / "file"):
        pass
    assert valuable.stat().st_uid == os.geteuid()


def test_a_file_of_a_stranger_decides_nothing(path: Path) -> None:
    path.write_text("x")
    strangers = [NOBODY] if os.geteuid() == 0 else []
    for owner in strangers:
        os.chown(path, owner, owner)
        assert files.read(path, 1) is not None
        with pytest.raises(FileError, match="belongs to another user"):
            files.read_trusted(path, 1)


@pytest.mark.parametrize(("mode", "is_trusted"), [(0o777, False), (0o757, False), (0o1777, True), (0o755, True)])
def test_where_others_can_take_a_file_away_nothing_decides(path: Path, mode: int, is_trusted: bool) -> None:
    path.parent.chmod(mode)
    for is_there in (False, True):
        if is_there:
            path.write_text("x")
        if is_trusted:
            assert (files.read_trusted(path, 1) is not None) is is_there
        else:
            with pytest.raises(FileError, match="others can write here"):
                files.read_trusted(path, 1)


def test_of_groups_the_own_one_and_roots_may_write(path: Path) -> None:
    path.parent.chmod(0o775)
    assert files.read_trusted(path, 1) is None
    if os.geteuid() == 0:
        os.chown(path.parent, -1, NOBODY)
        with pytest.raises(FileError, match="others can write here"):
            files.read_trusted(path, 1)


def count_up(path: Path, times: int) -> None:
    for _ in range(times):
        with files.locked(path):
            content = files.read(path, 100)
            files.replace(path, str(int(content.data if content else 0) + 1).encode(), 0o600)


def test_two_processes_never_change_a_file_at_once(path: Path) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=count_up, args=(path, 50)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert path.read_text() == "100"
