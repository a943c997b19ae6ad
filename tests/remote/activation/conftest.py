import os
from pathlib import Path

import pytest

from tests.remote.activation.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A machine in a folder; nobody pulls its plug, so nothing has to wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return World(tmp_path / "machine")
