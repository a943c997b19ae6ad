"""testssl.sh, which takes minutes, flags nothing on either port but that nobody vouches for the remote's identity."""

from __future__ import annotations

from lab.hosts import two_hosts
from lab.product import LOCAL_PORT, PORT
from tests.system.grading import SELF_SIGNED_TESTSSL, by_testssl, graded


def test_testssl_flags_nothing_else() -> None:
    with two_hosts() as (admin, remote), graded(remote):
        for host, target in ((admin, f"{remote.address}:{PORT}"), (remote, f"127.0.0.1:{LOCAL_PORT}")):
            found = by_testssl(host, target)
            assert set(found) <= SELF_SIGNED_TESTSSL, found
