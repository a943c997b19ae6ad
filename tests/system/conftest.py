from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts import Host, two_hosts
from lab.product import World, remote_at_work


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """The admin's and the remote's machine, which share the test's own folder."""
    with two_hosts(share=[tmp_path]) as pair:
        yield pair


@pytest.fixture
def admin(hosts: tuple[Host, Host]) -> Host:
    return hosts[0]


@pytest.fixture
def remote(hosts: tuple[Host, Host]) -> Host:
    return hosts[1]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Both machines with the remote at work, for all tests of a file; each makes the cards that it needs."""
    with two_hosts() as (admin, remote):
        yield remote_at_work(admin, remote)
