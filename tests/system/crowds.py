"""The remote under a flood of strangers, for the test and its longer version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.cable import REMOTE, REMOTE6
from lab.hosts import CHECKOUT, Host
from lab.processes import wait_until
from lab.product import PYTHON, Service, pair, start_remote

CROWD = [str(PYTHON), "-m", "tests.system.crowd"]
KEY, PEM = "/run/ann.key", "/run/ann.pem"


@dataclass(frozen=True)
class Crowded:
    """Both hosts while the flood goes on, and the remote's service."""

    admin: Host
    remote: Host
    service: Service

    def come_in(self, source: str, count: int) -> list[float | None]:
        """How many seconds ann took each time, from this address; ``None`` where she was not let in."""
        return come_in(self.admin, source, count)


def come_in(admin: Host, source: str, count: int) -> list[float | None]:
    said = admin.run([*CROWD, "admin", KEY, REMOTE, source, str(count)], folder=CHECKOUT, timeout=count * 3 + 20)
    seconds: list[float | None] = json.loads(said.stdout)
    return seconds


@contextmanager
def crowded(admin: Host, remote: Host) -> Iterator[Crowded]:
    """A remote that ann came to once, from the admin's own address; now a thousand strangers are there."""
    for family, network, gateway in (("-4", "10.128.0.0/9", admin.address), ("-6", "fd77::/16", admin.address6)):
        admin.run(["ip", family, "route", "add", "local", network, "dev", "lo"])  # each address of it is this machine's
        remote.run(["ip", family, "route", "add", network, "via", gateway])
    service = start_remote(remote)
    remote.add_account("ann", "a password that no test uses")
    admin.write(PEM, admin.run([*CROWD, "card", KEY], folder=CHECKOUT).stdout)
    pair(remote, "ann", admin.read(PEM))
    (alone,) = come_in(admin, "-", 1)
    assert alone is not None
    flooding = admin.start([*CROWD, "flood", REMOTE, REMOTE6, PEM], folder=CHECKOUT)
    try:
        wait_until(lambda: strangers(remote) >= 60, "sixty strangers at the remote", 20)
        yield Crowded(admin, remote, service)
    finally:
        flooding.terminate()


def strangers(remote: Host) -> int:
    """How many connections there are to the remote's port."""
    listed = remote.run(["ss", "-Htn", "state", "established", "sport", "=", ":4116"]).stdout
    return len(listed.splitlines())
