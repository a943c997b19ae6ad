from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts import Host, two_hosts


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
