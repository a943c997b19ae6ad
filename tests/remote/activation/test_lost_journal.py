"""An activation whose journal is damaged or gone is taken back by the traces that it leaves."""

import pytest

from sra.remote.activation import undo
from sra.remote.activation.changed_machine import ActivationError
from sra.remote.activation.steps_linux import all_steps
from sra.remote.activation.undo import LOGIN_WINDOW
from tests.remote.activation.test_runner import STEPS, Killed, activate, deactivate, kill_at, kill_calls
from tests.remote.activation.world import World

JOURNAL = "var/lib/sra-activation/journal.json"


def damage(world: World, text: str | None) -> None:
    """Put something else in the journal's place, or nothing."""
    (world.root / JOURNAL).unlink()
    if text is not None:
        world.write(JOURNAL, text, 0o600)


OLDER = '{"version": 1, "complete": true, "entries": [{"step": "user _sra", "undo": {"kind": "remove-user"}}]}'
DAMAGES = [None, "", "{", OLDER, '{"version": 2, "entries": [{"kind": "format", "name": "x"}]}']


@pytest.mark.parametrize("text", DAMAGES)
def test_an_activation_whose_journal_is_lost_is_taken_back_by_its_traces(world: World, text: str | None) -> None:
    world.write("/etc/pam.d/su", "somebody else's")
    world.write("/etc/systemd/system/pcscd.socket.d/sra.conf", "older\n")
    before = world.tree()
    activate(world)
    damage(world, text)
    world.programs.ran.clear()
    told: list[str] = []
    deactivate(world, told.append)
    assert "journal.json is" in told[0]
    assert "the identity stays" in told[0]
    identity = {"/etc/sra", "/etc/sra/identity", "/etc/sra/identity/key.pem", "/etc/sra/identity/certificate.pem"}
    assert {name: each for name, each in world.tree().items() if name not in identity} == before
    assert (world.root / "etc/sra/identity/key.pem").read_bytes() == b"key\n"
    assert world.given["/etc/sra/identity/key.pem"] == (0, 0)
    assert (world.programs.enabled, world.programs.active) == (set(), {LOGIN_WINDOW})
    assert world.programs.ran[0] == ("systemctl", "disable", "sra.target")
    assert not deactivate(world)


def test_a_replaced_identity_comes_back_where_the_journal_is_lost(world: World) -> None:
    world.write("/etc/sra/identity/key.pem", "older key", 0o640)
    world.write("/etc/sra/identity/certificate.pem", "older certificate")
    before = world.tree()
    activate(world)
    damage(world, "{")
    deactivate(world)
    assert world.tree() == before


def test_what_was_put_there_since_stays_where_the_journal_is_lost(world: World) -> None:
    activate(world)
    world.write("/var/log/sra/audit.jsonl", "a record\n", 0o600)
    world.write("/etc/sra/pairings.toml", "# pairings")
    damage(world, "{")
    deactivate(world)
    assert world.given["/var/log/sra/audit.jsonl"] == (0, 0)
    assert (world.root / "etc/sra/pairings.toml").read_text() == "# pairings"


@pytest.mark.parametrize("text", DAMAGES)
def test_without_its_journal_nothing_is_activated_again_and_the_way_out_is_told(world: World, text: str | None) -> None:
    activate(world)
    damage(world, text)
    before = world.tree()
    with pytest.raises(ActivationError, match=r"run “sra deactivate” .* then “sra activate”"):
        activate(world)
    assert world.tree() == before


@pytest.mark.parametrize("number", range(4))
def test_taking_back_by_the_traces_can_be_interrupted(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    activate(world)
    damage(world, "{")
    killed = kill_at(number)
    with monkeypatch.context() as patched:
        for kind, call in undo._UNDO.items():
            patched.setitem(undo._UNDO, kind, kill_calls(killed, call, after=True))
        with pytest.raises(Killed):
            deactivate(world)
    deactivate(world)
    assert world.programs.active == {LOGIN_WINDOW}
    assert world.machine.user("_sra") is None
    assert not (world.root / JOURNAL).exists()


def test_every_step_of_an_activation_is_known_where_its_journal_is_lost() -> None:
    assert {(step.kind, step.name) for step in STEPS} - {(step.kind, step.name) for step in all_steps()} == {
        (undo.Kind.FILE, "/etc/sra/identity/key.pem"), (undo.Kind.FILE, "/etc/sra/identity/certificate.pem"),
    }  # fmt: skip
