"""The gate: which strangers come in, and which have to go for them."""

from __future__ import annotations

import random
from collections.abc import Iterable

from sra.transport.gate import MAX_ORIGINS, Gate, GateLimits, Stranger, origins_of

KEY = b"the public key of an admin's card"


class Known:
    """Admins who came in lately, by address."""

    def __init__(self, *addresses: str) -> None:
        self._origins = {origins_of(address)[-1] for address in addresses}

    def is_known(self, origin: str) -> bool:
        return origin in self._origins

    def has_card(self, origin: str, key: bytes) -> bool:
        return origin in self._origins and key == KEY


class Crowd:
    """A gate, who was let in, and who had to go."""

    def __init__(self, limits: GateLimits, *known: str, seed: int = 1) -> None:
        self.gate = Gate(limits, Known(*known), random.Random(seed).random)  # noqa: S311
        self.gone: list[str] = []

    def enter(self, address: str, now: float = 0.0, name: str = "") -> Stranger | None:
        return self.gate.enter(origins_of(address), now, lambda: self.gone.append(name or address))

    def flood(self, addresses: Iterable[str], now: float = 0.0) -> int:
        return sum(self.enter(address, now) is not None for address in addresses)


CALM = {"crowded": 1.0, "per_second": 100_000}
"""Nobody is turned away at random, or for coming too many at a time."""


def test_an_address_may_come_so_often_and_then_has_to_wait() -> None:
    crowd = Crowd(GateLimits(strangers=100, per_address=3, period=10.0, crowded=1.0))
    assert [crowd.flood(["192.0.2.1"], float(now)) for now in (0, 1, 2, 3)] == [1, 1, 1, 0]
    assert crowd.enter("192.0.2.2", 3.0)
    assert not crowd.enter("192.0.2.1", 9.9)
    assert crowd.enter("192.0.2.1", 10.0)
    assert not crowd.enter("192.0.2.1", 10.5)


def test_who_has_left_still_counts_for_the_address() -> None:
    crowd = Crowd(GateLimits(strangers=100, per_address=2, period=10.0))
    for now in (0.0, 1.0):
        stranger = crowd.enter("192.0.2.1", now)
        assert stranger is not None
        crowd.gate.leave(stranger)
    assert not crowd.enter("192.0.2.1", 2.0)


def test_a_network_may_come_four_times_as_often_as_one_address() -> None:
    crowd = Crowd(GateLimits(strangers=1000, per_address=2, crowded=1.0))
    assert crowd.flood(f"192.0.2.{last}" for last in range(100)) == 8
    assert crowd.flood(f"2001:db8:1:{last:x}::1" for last in range(100)) == 8
    assert crowd.enter("192.0.3.1")


def test_all_together_come_only_so_often_within_a_second() -> None:
    crowd = Crowd(GateLimits(strangers=10_000, per_second=50))
    many = [f"10.{number // 256}.{number % 256}.1" for number in range(200)]
    assert crowd.flood(many, 0.0) == 50
    assert crowd.flood(many, 0.9) == 0
    assert crowd.flood(many, 1.0) == 50


def test_the_oldest_of_the_largest_origin_makes_room() -> None:
    crowd = Crowd(GateLimits(strangers=4, **CALM))  # type: ignore[arg-type]
    crowd.enter("198.51.100.1", 0.0, "alone, and the oldest of all")
    for now in (1.0, 2.0, 3.0):
        crowd.enter("192.0.2.1", now, f"one of many, {now}")
    assert crowd.enter("203.0.113.1", 4.0)
    assert crowd.gone == ["one of many, 1.0"]


def test_four_addresses_keep_nobody_out() -> None:
    crowd = Crowd(GateLimits())
    for now in range(60):
        crowd.flood([f"192.0.2.{last}" for last in range(4) for _ in range(20)], float(now))
    admin = crowd.enter("198.51.100.1", 60.0, "admin")
    assert admin is not None
    for now in range(60, 120):
        crowd.flood([f"192.0.2.{last}" for last in range(4) for _ in range(20)], float(now))
    assert "admin" not in crowd.gone


def test_neither_does_a_whole_48_of_ipv6() -> None:
    """A /62 has four networks of the size of one host, a /48 has 65,536."""
    crowd = Crowd(GateLimits())
    hosts = [f"2001:db8:1:{number:x}::1" for number in range(2000)]
    for now in range(30):
        crowd.flood(hosts, float(now))
    assert crowd.enter("2001:db8:2::1", 30.0, "admin")
    for now in range(30, 60):
        crowd.flood(hosts, float(now))
    assert "admin" not in crowd.gone


def test_the_rest_of_a_56_loses_its_places_before_another_56_of_the_same_48() -> None:
    crowd = Crowd(GateLimits(strangers=4, **CALM))  # type: ignore[arg-type]
    crowd.enter("2001:db8:1:200::1", 0.0, "another /56")
    for number in (1, 2, 3):
        crowd.enter(f"2001:db8:1:10{number}::1", float(number), f"/56 {number}")
    crowd.enter("2001:db8:2::1", 4.0)
    assert crowd.gone == ["/56 1"]


def test_an_address_that_fills_its_places_loses_its_own_oldest() -> None:
    crowd = Crowd(GateLimits(strangers=10, per_address=100, waiting_per_address=2, **CALM))  # type: ignore[arg-type]
    for now in range(4):
        assert crowd.enter("192.0.2.1", float(now), str(now))
    assert crowd.gone == ["0", "1"]


def test_who_was_put_out_may_leave_all_the_same() -> None:
    crowd = Crowd(GateLimits(strangers=1, **CALM))  # type: ignore[arg-type]
    first = crowd.enter("192.0.2.1")
    assert first is not None
    crowd.enter("192.0.3.1")
    crowd.gate.leave(first)
    assert crowd.gate.strangers == 1


def test_below_half_nobody_is_turned_away_and_above_it_some_but_never_all() -> None:
    crowd = Crowd(GateLimits(strangers=1000, per_second=100_000))
    addresses = [f"10.{number // 250}.{number % 250}.1" for number in range(50_000)]
    assert crowd.flood(addresses[:500]) == 500
    assert 60 <= crowd.flood(addresses[500:600]) <= 80
    crowd.flood(addresses[600:10_000])
    assert crowd.gate.strangers == 1000
    assert 0.08 <= crowd.flood(addresses[10_000:30_000]) / 20_000 <= 0.12


def test_a_known_admin_comes_in_whatever_a_thousand_networks_do_and_stays() -> None:
    crowd = Crowd(GateLimits(), "198.51.100.1")
    many = [f"10.{number // 250}.{number % 250}.1" for number in range(1000)]
    for now in range(100):
        crowd.flood(many, float(now))
        admin = crowd.enter("198.51.100.1", now + 0.5, "admin")
        assert admin is not None
        crowd.flood(many, now + 0.6)
        assert "admin" not in crowd.gone
        crowd.gate.leave(admin)


def test_the_key_of_a_known_admin_gains_nothing_from_elsewhere_and_takes_nothing() -> None:
    crowd = Crowd(GateLimits(strangers=2, **CALM), "198.51.100.1")  # type: ignore[arg-type]
    admin = crowd.enter("198.51.100.1", 0.0, "admin")
    assert admin is not None
    crowd.gate.recognise(admin, KEY)
    for number in range(20):
        attacker = crowd.enter(f"10.0.{number}.1", 1.0 + number, "attacker")
        assert attacker is not None
        crowd.gate.recognise(attacker, KEY)
        assert not attacker.has_known_card
    assert admin.has_known_card
    assert crowd.gone == ["attacker"] * 18


def test_other_machines_behind_the_address_use_up_its_own_places_only() -> None:
    crowd = Crowd(GateLimits(per_address=1000, known_per_address=2), "198.51.100.1", "203.0.113.1")
    admin = crowd.enter("198.51.100.1", 0.0, "admin")
    assert admin is not None
    crowd.gate.recognise(admin, KEY)
    other = crowd.enter("203.0.113.1", 0.0, "admin at another address")
    assert other is not None
    for now in range(1, 50):
        crowd.enter("198.51.100.1", float(now), "neighbour")
    assert set(crowd.gone) == {"neighbour"}


def test_a_paired_person_who_came_from_many_addresses_takes_no_known_place_for_long() -> None:
    hostile = [f"2001:db8:0:{number:x}::1" for number in range(20)]
    crowd = Crowd(GateLimits(), "198.51.100.1", *hostile)
    for now in range(0, 100, 10):
        for address in hostile:
            crowd.flood([address] * 19, float(now))
        crowd.gone.clear()
        admin = crowd.enter("198.51.100.1", now + 0.5, "admin")
        assert admin is not None
        assert admin.is_known
        crowd.flood(hostile, now + 0.6)
        assert "admin" not in crowd.gone
        crowd.gate.leave(admin)


def test_addresses_are_compared_by_what_they_mean() -> None:
    assert origins_of("fe80::1%eth0") == origins_of("fe80::2")
    assert origins_of("2001:DB8::1")[-1] == origins_of("2001:db8:0:0::2")[-1]
    assert len({origins_of(f"192.0.2.{last}") for last in range(4)}) == 4
    assert origins_of("::ffff:192.0.2.1") == origins_of("192.0.2.1")
    mapped_by_look = ["::ffff:0:102:304", "::ffff:0:0:1", "::ffff:1:0:0:1", "::255.255.0.1", "2001:db8::ffff:1"]
    assert all(origins_of(address)[-1].endswith("/64") for address in mapped_by_look)
    assert origins_of("0.0.0.0")[-1] != origins_of("::")[-1]


def test_the_gate_forgets_the_oldest_origins_rather_than_grow() -> None:
    crowd = Crowd(GateLimits(strangers=10**9, per_address=1, per_second=10**6))
    for number in range(MAX_ORIGINS + 100):
        stranger = crowd.enter(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", float(number * 20))
        assert stranger is not None
        crowd.gate.leave(stranger)
    assert len(crowd.gate._arrivals) == MAX_ORIGINS
