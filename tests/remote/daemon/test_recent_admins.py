"""Who came in lately: remembered for a day, kept in a file, and never growing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sra.remote.daemon.recent_admins import LASTING, MAX_ADDRESSES, MAX_CARDS, MAX_PLACES, REFRESH, RecentAdmins
from sra.transport.gate import origins_of

ADDRESS, KEY = "198.51.100.1", b"a public key"
ORIGIN = origins_of(ADDRESS)[-1]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "recent-admins.json"


def kept(path: Path, clock: Clock) -> RecentAdmins:
    admins = RecentAdmins(path, clock)
    assert admins.remember(ADDRESS, KEY)
    admins.keep(admins.content())
    return admins


def test_an_address_and_a_key_are_known_for_a_day(path: Path, clock: Clock) -> None:
    admins = kept(path, clock)
    assert admins.is_known(ORIGIN)
    assert admins.has_card(ORIGIN, KEY)
    assert not admins.has_card(ORIGIN, b"another")
    assert not admins.has_card(origins_of("198.51.100.2")[-1], KEY)
    clock.now += LASTING
    assert not admins.is_known(ORIGIN)
    assert not admins.has_card(ORIGIN, KEY)


def test_they_survive_a_restart_in_a_file_of_the_service_s_own(path: Path, clock: Clock) -> None:
    kept(path, clock)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = RecentAdmins(path, clock)
    again.load()
    assert again.has_card(ORIGIN, KEY)


def test_they_are_written_down_once_an_hour(path: Path, clock: Clock) -> None:
    admins = kept(path, clock)
    assert not admins.remember(ADDRESS, KEY)
    assert admins.remember(ADDRESS, b"another")
    clock.now += REFRESH
    assert admins.remember(ADDRESS, KEY)


def test_a_time_of_a_clock_that_was_wrong_counts_for_nothing(path: Path, clock: Clock) -> None:
    admins = kept(path, clock)
    clock.now -= 60
    assert not admins.is_known(ORIGIN)
    assert admins.remember(ADDRESS, KEY)
    assert admins.is_known(ORIGIN)


def test_they_are_bounded(path: Path, clock: Clock) -> None:
    admins = RecentAdmins(path, clock)
    for number in range(MAX_ADDRESSES + 10):
        clock.now += 1
        admins.remember(f"10.0.{number // 250}.{number % 250}", f"key {number}".encode())
    for number in range(MAX_CARDS + 5):
        clock.now += 1
        admins.remember(ADDRESS, str(number).encode())
    assert len(admins._seen) == MAX_ADDRESSES
    assert len(admins._seen[ORIGIN]) == MAX_CARDS
    assert not admins.is_known(origins_of("10.0.0.0")[-1])
    assert not admins.has_card(ORIGIN, b"0")
    admins.keep(admins.content())
    again = RecentAdmins(path, clock)
    again.load()
    assert len(again._seen) == MAX_ADDRESSES


def test_one_card_takes_no_other_admin_s_place_from_however_many_addresses(path: Path, clock: Clock) -> None:
    """Its holder has a /48, and signs as many certificates for the one key as there is time for."""
    admins = kept(path, clock)
    for number in range(MAX_ADDRESSES + 10):
        clock.now += 1
        admins.remember(f"2001:db8:0:{number:x}::1", b"the attacker's key")
    assert admins.has_card(ORIGIN, KEY)
    assert len(admins._seen) == 1 + MAX_PLACES
    assert admins.has_card(origins_of(f"2001:db8:0:{number:x}::1")[-1], b"the attacker's key")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"b": "c"}}', b'{"a": {}}', b"\xff"])
def test_a_damaged_file_is_told_and_done_without(path: Path, clock: Clock, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    admins = RecentAdmins(path, clock)
    admins.load()
    assert not admins.is_known("a")
    assert admins.remember(ADDRESS, KEY)


def test_what_can_not_be_written_is_done_without(path: Path, clock: Clock) -> None:
    path.parent.write_text("not a folder")
    admins = kept(path, clock)
    assert admins.is_known(ORIGIN)
