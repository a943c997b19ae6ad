import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sra.remote.activation import journal, runner, undo
from sra.remote.activation.changed_machine import FileState, LoginScreen, Machine
from sra.remote.activation.journal import Requested
from sra.remote.activation.steps_linux import RemoteSetup, ScreenFiles, all_steps, steps
from sra.remote.activation.undo import LOGIN_WINDOW, Before, Kind
from sra.system.files import FileError
from sra.transport.tls_identity import IdentityFiles
from tests.remote.activation.world import World

SETUP = RemoteSetup(
    programs=Path("/opt/sra/bin"),
    readers=2,
    identity=IdentityFiles(b"key\n", b"certificate\n"),
    trusted=b"certificate\n",
    screen=ScreenFiles(Path("/opt/sra/bin/python3"), Path("/run/sra/screen")),
    virtual_screen=True,
    pcscd_asks_polkit=True,
)
STEPS = steps(SETUP)
ALL = Requested(trust=True, screen=True, virtual_screen=True)
UNITS = {"sra.target", "sra-screen.service"}
TAKEN_BACK = 27
"""How many of the steps change something that was different before."""


class Killed(BaseException):
    """The process was killed."""


def silence(_: str) -> None:
    """Tell nobody."""


def activate(world: World, setup: RemoteSetup = SETUP, tell: Callable[[str], None] = silence) -> bool:
    return runner.activate(world.machine, steps(setup), ALL, tell)


def deactivate(world: World, tell: Callable[[str], None] = silence) -> bool:
    runner.rebuild(world.machine, all_steps(), tell)
    return runner.deactivate(world.machine, tell)


def test_activation_makes_the_users_the_files_and_starts_the_service(world: World) -> None:
    assert activate(world)
    assert all(world.machine.user(name) is not None for name in ("_sra", "_sra-card", "_srascreen"))
    assert world.machine.group("sra-card") is not None
    assert (world.root / "etc/sra/identity/key.pem").read_bytes() == b"key\n"
    assert world.programs.enabled == UNITS
    assert world.programs.active == {*UNITS, LOGIN_WINDOW}
    assert world.given["/etc/sra/identity/key.pem"] == (world.machine.user("root"), world.machine.group("_sra"))
    assert b"certificate" in (world.root / "etc/ssl/certs/ca-certificates.crt").read_bytes()


def test_the_screen_user_is_a_system_user_without_home_shell_or_password(world: World) -> None:
    activate(world)
    (added,) = [argv for argv in world.programs.ran if argv[-1] == "_srascreen"]
    assert added[:5] == ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir")
    assert "/usr/sbin/nologin" in added
    assert not {"--password", "-p"} & set(added)


def test_deactivation_takes_everything_back(world: World) -> None:
    before = world.tree()
    activate(world)
    assert deactivate(world)
    assert world.tree() == before
    assert world.programs.enabled == set()
    assert world.programs.active == {LOGIN_WINDOW}
    assert not world.programs.has_virtual_screen
    assert not deactivate(world)


def test_the_units_are_read_again_and_pcscd_restarted_after_their_files_are_gone(world: World) -> None:
    activate(world)
    world.programs.ran.clear()
    deactivate(world)
    order = [argv for argv in world.programs.ran if argv[0] == "systemctl"]
    assert order == [
        ("systemctl", "disable", "sra.target"),
        ("systemctl", "stop", "sra.target", "srad.service", "sra-card@*.service", "sra-runtime.service"),
        ("systemctl", "disable", "sra-screen.service"),
        ("systemctl", "stop", "sra-screen.service"),
        ("systemctl", "stop", "lightdm.service"),
        ("systemctl", "--no-block", "start", "lightdm.service"),
        ("systemctl", "daemon-reload"),
        ("systemctl", "stop", "pcscd.service"),
        ("systemctl", "restart", "pcscd.socket"),
    ]
    assert world.programs.ran[-1] == ("userdel", "_sra")


def test_the_second_time_nothing_is_changed_and_nothing_restarted(world: World) -> None:
    activate(world)
    before, ran = world.tree(), len(world.programs.ran)
    assert not activate(world)
    assert world.tree() == before
    assert world.programs.ran[ran:] == []


def test_what_is_added_the_second_time_interrupts_nobody(world: World) -> None:
    plain = RemoteSetup(programs=SETUP.programs, readers=2, identity=SETUP.identity)
    before = world.tree()
    activate(world, plain)
    world.programs.ran.clear()
    more = RemoteSetup(programs=SETUP.programs, readers=2, identity=SETUP.identity, screen=SETUP.screen)
    assert activate(world, more)
    assert [argv for argv in world.programs.ran if "screen" not in argv[-1]] == [("systemctl", "daemon-reload")]
    deactivate(world)
    assert world.tree() == before


def test_a_new_version_of_a_unit_is_written_and_started(world: World) -> None:
    before = world.tree()
    activate(world)
    world.programs.ran.clear()
    moved = RemoteSetup(programs=Path("/opt/new/bin"), readers=2, identity=SETUP.identity, trusted=SETUP.trusted)
    assert activate(world, moved)
    assert b"/opt/new/bin/srad" in (world.root / "etc/systemd/system/srad.service").read_bytes()
    assert ("systemctl", "restart", "sra.target") in world.programs.ran
    deactivate(world)
    assert world.tree() == before


def test_what_was_there_before_is_there_again(world: World) -> None:
    world.write("/etc/sra/identity/key.pem", "older key", 0o600)
    world.write("/etc/sra/identity/certificate.pem", "older certificate")
    world.write("/etc/systemd/system/pcscd.socket.d/sra.conf", "[Socket]\n", 0o640)
    world.write("/etc/sra/pairings.toml", "# pairings")
    (world.root / "etc/sra/identity").chmod(0o700)
    before = world.tree()
    activate(world)
    assert (world.root / "etc/sra/identity/key.pem").read_bytes() == b"key\n"
    deactivate(world)
    assert world.tree() == before


def test_the_first_content_is_what_comes_back_after_several_activations(world: World) -> None:
    world.write("/etc/sra/identity/key.pem", "the first", 0o600)
    before = world.tree()
    for key in (b"the second", b"the third"):
        setup = RemoteSetup(programs=SETUP.programs, readers=2, identity=IdentityFiles(key, b"certificate"))
        activate(world, setup)
    deactivate(world)
    assert world.tree() == before


def test_a_user_and_a_unit_that_were_there_before_stay(world: World) -> None:
    world.programs(["useradd", "_srascreen"])
    world.programs.enabled.add("sra.target")
    before = world.tree()
    activate(world)
    deactivate(world)
    assert world.tree() == before
    assert world.programs.enabled == {"sra.target"}


def test_what_was_put_there_since_stays_and_is_told(world: World) -> None:
    activate(world)
    world.write("/var/log/sra/audit.jsonl", "a record\n", 0o600)
    world.write("/etc/sra/pairings.toml", "# pairings")
    world.write("/var/lib/sra/revocation/list", "what the service keeps for itself")
    told: list[str] = []
    deactivate(world, told.append)
    assert (world.root / "var/log/sra/audit.jsonl").read_text() == "a record\n"
    assert (world.root / "etc/sra/pairings.toml").exists()
    assert {"/var/log/sra stays, with what was put there since the activation"} < set(told)
    assert world.given["/var/log/sra/audit.jsonl"] == (0, 0)
    assert not (world.root / "var/lib/sra").exists()
    assert not (world.root / "etc/sra/identity").exists()


def test_of_a_state_folder_that_was_there_only_that_stays_which_was_in_it(world: World) -> None:
    world.write("/var/lib/sra/latest-time", "a time")
    (world.root / "var/lib/sra").chmod(0o700)
    before = world.tree()
    activate(world)
    world.write("/var/lib/sra/recent-admins.json", "{}", 0o600)
    world.write("/var/lib/sra/certificates/card.der", "a certificate")
    (world.root / "var/lib/sra/link").symlink_to(world.root / "etc")
    world.given.clear()
    deactivate(world)
    assert world.tree() == before
    assert {"/var/lib/sra", "/var/lib/sra/latest-time"} <= set(world.given)


def test_what_a_state_folder_that_is_a_link_leads_to_is_left_alone(world: World) -> None:
    world.write("/srv/others/file", "of others")
    (world.root / "var/lib/sra").symlink_to(world.root / "srv/others")
    (world.root / "srv/others").chmod(0o700)
    before = world.tree()
    with pytest.raises(FileError):
        activate(world)
    assert world.tree() == before
    assert world.programs.ran == []


def test_a_service_that_was_broken_into_has_no_file_of_others_given_away(tmp_path: Path) -> None:
    """What is given back to root lies in folders where the service could put a link to any file."""
    others = tmp_path / "others"
    others.write_text("")
    os.chown(others, 1000, 1000)
    for name in ("log", "state"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").symlink_to(others)
    machine = Machine(tmp_path, World(tmp_path / "played").programs, lambda: LoginScreen.NONE)
    Before(Kind.LOG_FOLDER, "/log").take_back(machine)
    Before(Kind.STATE_FOLDER, "/state", FileState(0o755, 0, 0), ("kept",)).take_back(machine)
    assert (others.stat().st_uid, others.stat().st_gid) == (1000, 1000)


def test_who_was_in_the_group_is_told(world: World) -> None:
    activate(world)
    path = world.root / "etc/group"
    path.write_text(path.read_text().replace("sra-card:x:", "sra-card:x:", 1))
    lines = [f"{line}alice,bob" if line.startswith("sra-card:") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    told: list[str] = []
    deactivate(world, told.append)
    assert "the group sra-card is gone; in it were: alice, bob" in told


def kill_at(number: int) -> Callable[[Sequence[object]], None]:
    """Be killed at the call of this number."""
    calls = iter(range(number))

    def call(_: Sequence[object]) -> None:
        if next(calls, None) is None:
            raise Killed

    return call


@pytest.fixture
def reference(tmp_path: Path) -> dict[str, tuple[int, bytes]]:
    """What an activation makes that nothing interrupts, without the journal."""
    whole = World(tmp_path / "whole")
    activate(whole)
    return without_journal(whole)


def without_journal(world: World) -> dict[str, tuple[int, bytes]]:
    return {name: found for name, found in world.tree().items() if not name.startswith("/var/lib/sra-activation")}


def kill_calls(killed: Callable[[Sequence[object]], None], call: Callable[..., object], *, after: bool) -> object:
    """The same call, killed right before or after it is done."""

    def called(*arguments: object) -> object:
        if not after:
            killed([])
        found = call(*arguments)
        if after:
            killed([])
        return found

    return called


def interrupt(world: World, monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool) -> None:
    """Activate, killed right before (or after) the step of this number is done."""
    killed = kill_at(number)
    with monkeypatch.context() as patched:
        for kind in {type(step) for step in STEPS}:
            patched.setattr(kind, "do", kill_calls(killed, kind.do, after=after))
        with pytest.raises(Killed):
            activate(world)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_an_activation_that_was_killed_at_any_step_is_mended_by_the_next(
    world: World,
    reference: dict[str, tuple[int, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    after: bool,
) -> None:
    before = world.tree()
    interrupt(world, monkeypatch, number, after=after)
    activate(world)
    assert without_journal(world) == reference
    assert world.programs.active == {*UNITS, LOGIN_WINDOW}
    assert world.programs.has_virtual_screen
    assert not activate(world)
    deactivate(world)
    assert world.tree() == before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_an_activation_that_was_killed_at_any_step_can_be_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    before = world.tree()
    interrupt(world, monkeypatch, number, after=after)
    deactivate(world)
    assert world.tree() == before
    assert world.programs.active == {LOGIN_WINDOW}
    assert not world.programs.has_virtual_screen


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(TAKEN_BACK))
def test_a_deactivation_that_was_killed_anywhere_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    world.write("/etc/sra/identity/key.pem", "older key", 0o600)
    before = world.tree()
    activate(world)
    record = journal.read(world.machine)
    assert record is not None
    assert len(record.entries) == TAKEN_BACK
    killed = kill_at(number)
    with monkeypatch.context() as patched:
        for kind, call in undo._UNDO.items():
            patched.setitem(undo._UNDO, kind, kill_calls(killed, call, after=after))
        with pytest.raises(Killed):
            deactivate(world)
    deactivate(world)
    assert world.tree() == before
    assert (world.programs.active, world.programs.enabled) == ({LOGIN_WINDOW}, set())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_deactivation_that_was_killed_while_its_journal_was_removed_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    world.write("/etc/sra/identity/key.pem", "older key", 0o600)
    before = world.tree()
    activate(world)
    # The second folder that is removed with all that is in it is that of the copies.
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", kill_calls(kill_at(1), shutil.rmtree, after=after))
        with pytest.raises(Killed):
            deactivate(world)
    deactivate(world)
    assert world.tree() == before


@pytest.mark.parametrize("number", [0, 3])
def test_an_activation_finishes_what_a_killed_deactivation_took_away(
    world: World, reference: dict[str, tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = world.tree()
    activate(world)
    killed = kill_at(number)
    with monkeypatch.context() as patched:
        for kind, call in undo._UNDO.items():
            patched.setitem(undo._UNDO, kind, kill_calls(killed, call, after=True))
        with pytest.raises(Killed):
            deactivate(world)
    assert activate(world)
    assert without_journal(world) == reference
    deactivate(world)
    assert world.tree() == before
