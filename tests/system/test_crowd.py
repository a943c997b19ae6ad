"""A thousand strangers, each from a network of its own, hold what they can of port 4116."""

from __future__ import annotations

from lab.hosts import Host
from tests.system.crowds import crowded


def test_an_admin_who_came_in_before_is_in_within_two_seconds(admin: Host, remote: Host) -> None:
    with crowded(admin, remote) as there:
        seconds = there.come_in("-", 12)
        assert None not in seconds, seconds
        assert "Traceback" not in there.service.process.output
