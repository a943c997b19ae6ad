from pathlib import Path

import pytest

from tests.remote.revocation.policy_remote import ROOT, Remote


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
def filed(remote: Remote) -> Remote:
    """A remote with a list of the root; the card's own issuer is what the test is about."""
    remote.file("root", ROOT.revocation_list())
    return remote
