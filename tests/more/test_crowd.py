"""A thousand strangers hold what they can of port 4116, for longer than the test of every day lets them."""

from __future__ import annotations

from lab.hosts import two_hosts
from tests.system.crowds import crowded


def test_an_admin_who_came_in_before_is_in_within_two_seconds_99_times_of_100() -> None:
    with two_hosts() as (admin, remote), crowded(admin, remote) as there:
        seconds = there.come_in("-", 100)
        assert sum(each is not None for each in seconds) >= 99, seconds
        assert "Traceback" not in there.service.process.output


def test_an_admin_who_was_never_there_is_in_after_some_tries() -> None:
    """Nobody can tell this one from a thousand others: what is left is the same chance for each of them."""
    with two_hosts() as (admin, remote), crowded(admin, remote) as there:
        seconds = there.come_in("new", 100)
        came = sum(each is not None for each in seconds)
        print(f"{came} of 100 tries from networks that were never seen")
        assert came >= 2, seconds
