import contextlib
import multiprocessing
import stat
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import IdentityChangedError, SraError, UsageError
from sra.identity.x509_reading import fingerprint
from sra.system.files import FileError
from sra.transport.known_remotes import Address, KnownRemote, KnownRemotes, address, parse_address

TODAY = date(2026, 1, 2)
REMOTE = address("remote.example.com")
SHOWN = fingerprint(b"shown")
OTHER = fingerprint(b"other")


@pytest.fixture
def known(tmp_path: Path) -> KnownRemotes:
    return KnownRemotes(tmp_path / "config" / "known_remotes")


@pytest.mark.parametrize(
    ("host", "port", "shown"),
    [
        ("Remote.Example.COM.", 4116, "remote.example.com:4116"),
        ("192.0.2.7", 22, "192.0.2.7:22"),
        ("2001:DB8:0::1", 4116, "[2001:db8::1]:4116"),
        ("[::1]", 4116, "[::1]:4116"),
        ("fe80::1%eth0", 4116, "[fe80::1%eth0]:4116"),
    ],
)
def test_an_address_has_one_form(host: str, port: int, shown: str) -> None:
    assert str(address(host, port)) == shown


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("", 1),
        ("a b", 1),
        ("a\nb", 1),
        ("a/b", 1),
        ("a", 0),
        ("a", 65536),
        ("a" * 254, 1),
        ("a:b:c", 1),
        ("fe80::1%a b", 1),
        ("a%b", 1),
    ],
)
def test_what_is_no_address_is_refused(host: str, port: int) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        address(host, port)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Host", ("host", None)),
        ("host:22", ("host", 22)),
        ("192.0.2.7:22", ("192.0.2.7", 22)),
        ("::1", ("::1", None)),
        ("2001:db8::22", ("2001:db8::22", None)),
        ("[::1]", ("::1", None)),
        ("[::1]:22", ("::1", 22)),
    ],
)
def test_a_typed_address_is_taken_apart(text: str, parsed: tuple[str, int | None]) -> None:
    assert parse_address(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":22",
        "host:",
        "host:x",
        "host:0",
        "host:99999",
        "[::1",
        "[::1]:",
        "a b",
        "[]:1",
        "a:b:c",
        "[[::1]]",
        "::1]",
    ],
)
def test_a_typed_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        host, port = parse_address(text)
        assert parse_address(str(address(host, port or 1))) == (host, port or 1)


def test_addresses_sort_and_compare() -> None:
    assert Address("a", 1) < Address("a", 2) < Address("b", 1)


def test_a_remote_that_was_remembered_is_found_by_every_way_to_write_it(known: KnownRemotes) -> None:
    known.remember(REMOTE, SHOWN, TODAY)
    assert known.find(address("REMOTE.example.com.")) == SHOWN
    assert known.find(address("remote.example.com", 22)) is None
    assert known.all() == [KnownRemote(REMOTE, SHOWN, TODAY)]


def test_only_its_owner_reads_the_file_and_its_folder(known: KnownRemotes) -> None:
    known.remember(REMOTE, SHOWN, TODAY)
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(known.path.parent.stat().st_mode) == 0o700


def test_remembering_twice_changes_nothing(known: KnownRemotes) -> None:
    known.remember(REMOTE, SHOWN, TODAY)
    before = known.path.read_bytes()
    known.remember(REMOTE, SHOWN, date(2027, 1, 1))
    assert known.path.read_bytes() == before


def test_a_remembered_remote_is_never_overwritten(known: KnownRemotes) -> None:
    known.remember(REMOTE, SHOWN, TODAY)
    with pytest.raises(IdentityChangedError):
        known.remember(REMOTE, OTHER, TODAY)
    assert known.find(REMOTE) == SHOWN


def test_comments_and_the_other_remotes_survive_forgetting(known: KnownRemotes) -> None:
    for host, port in (("a", 1), ("a", 2), ("b", 1), ("::1", 1)):
        known.remember(address(host, port), SHOWN, TODAY)
    with known.path.open("a") as file:
        file.write("# mine\n\n")
    assert [str(gone.address) for gone in known.forget("A", 1)] == ["a:1"]
    assert [str(gone.address) for gone in known.forget("a")] == ["a:2"]
    assert [str(gone.address) for gone in known.forget("[::1]")] == ["[::1]:1"]
    assert known.forget("a") == []
    assert [str(each.address) for each in known.all()] == ["b:1"]
    assert "# mine" in known.path.read_text()


def test_without_a_file_nothing_is_known_and_nothing_made(known: KnownRemotes) -> None:
    assert known.all() == []
    assert known.find(REMOTE) is None
    assert known.forget("a") == []
    assert not known.path.parent.exists()


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "host 1 SHA256:AA 2026-01-01",
        f"host x {SHOWN} 2026-01-01",
        f"host 1 {SHOWN} soon",
        f"host 1 {SHOWN} 2026-01-01 x",
        f"a/b 1 {SHOWN} 2026-01-01",
    ],
)
def test_a_damaged_line_is_named_and_trusts_nobody(known: KnownRemotes, line: str) -> None:
    known.remember(REMOTE, SHOWN, TODAY)
    with known.path.open("a") as file:
        file.write(line + "\n")
    before = known.path.read_bytes()
    with pytest.raises(FileError, match="line 3 is not"):
        known.find(REMOTE)
    with pytest.raises(FileError, match="line 3 is not"):
        known.remember(address("new"), SHOWN, TODAY)
    with pytest.raises(FileError, match="line 3 is not"):
        known.forget("remote.example.com")
    assert known.path.read_bytes() == before


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00" * 100])
def test_a_file_that_is_no_text_trusts_nobody(known: KnownRemotes, content: bytes) -> None:
    known.remember(REMOTE, SHOWN, TODAY)
    known.path.write_bytes(content)
    with pytest.raises(FileError):
        known.find(REMOTE)


def test_a_file_that_others_may_write_trusts_nobody(known: KnownRemotes) -> None:
    known.remember(REMOTE, SHOWN, TODAY)
    known.path.chmod(0o666)
    with pytest.raises(FileError, match="chmod go-w"):
        known.find(REMOTE)


def remember_many(path: Path, name: str) -> None:
    for number in range(30):
        KnownRemotes(path).remember(address(f"{name}{number}"), SHOWN, TODAY)


def test_two_processes_that_remember_at_once_lose_nothing(known: KnownRemotes) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=remember_many, args=(known.path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(known.all()) == 60


@given(st.binary(max_size=300))
def test_a_file_of_any_bytes_is_read_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    known = KnownRemotes(tmp_path_factory.mktemp("fuzz") / "known_remotes")
    known.path.write_bytes(data)
    with contextlib.suppress(SraError):
        known.all()
