from pathlib import Path

import pytest

from sra.errors import UsageError
from sra.remote.accounts.watched_file import WatchedFile
from sra.system.files import FileError


def decode(data: bytes | None) -> list[str]:
    if data == b"bad":
        raise UsageError("it is bad")
    return [] if data is None else data.decode().split()


@pytest.fixture
def watched(tmp_path: Path) -> WatchedFile[list[str]]:
    return WatchedFile(tmp_path / "file", 10, decode)


def test_a_file_that_is_not_there_has_a_meaning_too(watched: WatchedFile[list[str]]) -> None:
    assert watched.current() == []
    assert watched.current() is watched.current()


def test_a_change_is_seen_at_once(watched: WatchedFile[list[str]]) -> None:
    for text in ("a b", "c d", "e f"):
        watched.path.write_text(text)
        assert watched.current() == text.split()
    watched.path.unlink()
    assert watched.current() == []


def test_a_damaged_file_has_no_old_meaning(watched: WatchedFile[list[str]]) -> None:
    watched.path.write_text("good")
    watched.current()
    watched.path.write_bytes(b"bad")
    for _ in range(2):
        with pytest.raises(FileError, match=f"{watched.path}: it is bad"):
            watched.current()
    watched.path.write_text("good")
    assert watched.current() == ["good"]


def test_a_file_that_is_too_long_or_not_to_be_trusted_is_an_error(watched: WatchedFile[list[str]]) -> None:
    watched.path.write_text("a" * 11)
    with pytest.raises(FileError, match="longer than 10 bytes"):
        watched.current()
    watched.path.write_text("a")
    watched.path.chmod(0o666)
    with pytest.raises(FileError, match="others may write"):
        watched.current()
