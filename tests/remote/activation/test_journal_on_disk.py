"""What an activation leaves on the disk and tells the user, and what it does not obey."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from sra.remote.activation import runner
from sra.remote.activation.changed_machine import ActivationError
from sra.remote.activation.steps_linux import RemoteSetup
from sra.system.files import FileContent
from tests.remote.activation.test_runner import SETUP, activate, deactivate, silence
from tests.remote.activation.world import World


def test_a_program_that_fails_is_named_with_what_it_said_and_tried_again(world: World) -> None:
    before = world.tree()
    world.programs.failing.add("useradd")
    with pytest.raises(ActivationError, match=r"“useradd .* _sra” failed \(1\): useradd: it does not work"):
        activate(world)
    world.programs.failing.clear()
    activate(world)
    deactivate(world)
    assert world.tree() == before


def test_the_journal_is_root_s_and_holds_no_secret(world: World) -> None:
    world.write("/etc/sra/identity/key.pem", "an older secret", 0o600)
    activate(world)
    path = world.root / "var/lib/sra-activation/journal.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "secret" not in text
    assert "key\\n" not in text
    assert json.loads(text)["wanted"] == {"trust": True, "screen": True, "virtual_screen": True}
    backup = world.root / "var/lib/sra-activation/before/etc-sra-identity-key.pem"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700


def test_a_journal_of_a_newer_version_takes_nothing_back(world: World) -> None:
    world.write("/var/lib/sra-activation/journal.json", '{"version": 3}', 0o600)
    before = world.tree()
    for attempt in (deactivate, activate):
        with pytest.raises(ActivationError, match="newer version"):
            attempt(world)
    assert world.tree() == before


@pytest.mark.parametrize("path", ["/etc/sra", "/etc/systemd/system/srad.service"])
def test_a_link_in_the_way_is_an_error_and_not_followed(world: World, path: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (world.root / path.removeprefix("/")).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match=r"link|in the way|folder"):
        activate(world)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_each_step_is_told_in_words(world: World) -> None:
    told: list[str] = []
    activate(world, tell=told.append)
    assert "user _sra" in told
    assert "unit sra.target" in told
    assert "units read again" not in told


def test_a_journal_of_somebody_else_is_not_obeyed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    activate(world)
    before = world.tree()
    path = world.root / "var/lib/sra-activation/journal.json"
    monkeypatch.setattr("sra.remote.activation.journal.files.read", lambda *_: stranger_s(path))
    with pytest.raises(ActivationError, match="a user other than root"):
        runner.deactivate(world.machine, silence)
    assert world.tree() == before


def stranger_s(path: Path) -> FileContent:
    return FileContent(path.read_bytes(), 0o600, 4711, None)


def test_the_service_ends_before_anything_that_it_uses_is_gone(world: World) -> None:
    activate(world, RemoteSetup(programs=SETUP.programs, readers=2, identity=SETUP.identity))
    activate(world)
    world.programs.ran.clear()
    deactivate(world)
    assert [argv[:2] for argv in world.programs.ran[:2]] == [("systemctl", "disable"), ("systemctl", "stop")]
    assert ("userdel", "_srascreen") in world.programs.ran[2:]
