"""What was there before a step, and how that is brought back. Taking the same step back twice does no harm."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import msgspec

from sra.remote.activation.changed_machine import UNITS, FileState, LoginScreen, Machine, content
from sra.system import files

BACKUPS = "/var/lib/sra-activation/before"
"""Where the files are kept that activation replaced."""
CA_BUNDLE_PROGRAM = "update-ca-certificates"
LOGIN_WINDOW = "lightdm.service"


class Kind(Enum):
    """What a step changes, in the words that are told."""

    USER = "user"
    GROUP = "group"
    FOLDER = "folder"
    LOG_FOLDER = "log folder"
    """One that the service writes in; what it wrote stays."""
    STATE_FOLDER = "state folder"
    """One that the service writes in, for itself; what it wrote goes."""
    FILE = "file"
    OWNER = "owner of"
    """Only the mode and the owner of a file."""
    TRUST = "trust"
    LOGIN_WINDOW = "login window"
    UNIT = "unit"


class Before(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was there before a step was done."""

    kind: Kind
    name: str
    """A path, a user, a group or a unit."""
    was: FileState | None = None
    """The file or folder that was there; of a file, the content is in ``BACKUPS``. ``None`` if there was nothing."""
    members: tuple[str, ...] = ()
    """What was in a state folder; the units (names or patterns) that end with a unit."""

    def take_back(self, machine: Machine) -> str | None:
        """Make it as it was before; return a note if something has to stay. Raises ``SraError``."""
        return _UNDO[self.kind](machine, self)


def keep_file(machine: Machine, name: str) -> FileState | None:
    """Copy the file that is there now to ``BACKUPS``; raise ``FileError`` if it is no plain file."""
    path = machine.path(name)
    data = content(path)
    if data is None:
        return None
    files.make_folder(machine.path(BACKUPS), 0o700)
    files.replace(backup(machine, name), data, 0o600)
    return FileState.of(path)


def backup(machine: Machine, name: str) -> Path:
    """Where the copy of this file is."""
    return machine.path(f"{BACKUPS}/{name.strip('/').replace('/', '-')}")


def _remove_user(machine: Machine, before: Before) -> str | None:
    """Remove it, with the group of its name."""
    if machine.user(before.name) is not None:
        machine.run(["userdel", before.name])
    return _remove_group(machine, before)


def _remove_group(machine: Machine, before: Before) -> str | None:
    members = machine.members(before.name)
    if machine.group(before.name) is not None:
        machine.run(["groupdel", before.name])
    return f"the group {before.name} is gone; in it were: {', '.join(members)}" if members else None


def _restore_folder(machine: Machine, before: Before) -> str | None:
    path = machine.path(before.name)
    if before.was is not None:
        return _restore_owner(machine, before)
    try:
        for lock in path.glob(".*.lock"):
            lock.unlink()
        path.rmdir()
    except FileNotFoundError:
        return None
    except OSError:
        return f"{before.name} stays, since it is not empty"
    return None


def _restore_log_folder(machine: Machine, before: Before) -> str | None:
    """Bring it back, with what was written since: nothing stays the service's, whose number another user may get."""
    if note := _restore_folder(machine, before):
        note = f"{before.name} stays, with what was put there since the activation"
    path, was = machine.path(before.name), before.was or FileState(0, 0, 0)
    if path.is_dir():
        for each in _within(path):
            machine.chown(each, was.uid, was.gid)
    return note


def _restore_state_folder(machine: Machine, before: Before) -> str | None:
    """Bring it back with what was in it; all else in it is the service's own, and goes."""
    path, was = machine.path(before.name), before.was
    if not path.is_dir():
        return None
    if was is None:
        shutil.rmtree(path)
        return None
    for each in tuple(path.iterdir()):
        if each.name in before.members:
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
    for each in _within(path):
        machine.chown(each, was.uid, was.gid)
    path.chmod(was.mode)
    return None


def _restore_file(machine: Machine, before: Before) -> str | None:
    path = machine.path(before.name)
    if before.was is None:
        path.unlink(missing_ok=True)
        return None
    # Without the copy, an earlier deactivation came to its end but for the journal: the file is there again.
    if (data := content(backup(machine, before.name))) is not None:
        files.replace(path, data, before.was.mode)
        machine.chown(path, before.was.uid, before.was.gid)
    return None


def _restore_owner(machine: Machine, before: Before) -> str | None:
    if before.was is not None and machine.path(before.name).exists():
        machine.path(before.name).chmod(before.was.mode)
        machine.chown(machine.path(before.name), before.was.uid, before.was.gid)
    return None


def _trust_no_more(machine: Machine, before: Before) -> str | None:
    machine.path(before.name).unlink(missing_ok=True)
    if machine.path(f"/usr/sbin/{CA_BUNDLE_PROGRAM}").exists():
        machine.run([CA_BUNDLE_PROGRAM, "--fresh"])
    return None


def _restore_login_window(machine: Machine, before: Before) -> str | None:
    """Have LightDM begin again without our settings. No session is ended for that."""
    _restore_file(machine, before)
    if not machine.succeeds(["systemctl", "--quiet", "is-active", LOGIN_WINDOW]):
        return None
    if machine.screen() is LoginScreen.IN_USE:
        return (
            "the virtual screen stays while a user is logged in there; "
            f"after that, run: systemctl restart {LOGIN_WINDOW}"
        )
    machine.run(["systemctl", "stop", LOGIN_WINDOW])
    # Not waited for: without a screen it may well fail again, as before.
    machine.run(["systemctl", "--no-block", "start", LOGIN_WINDOW])
    return None


def _stop_unit(machine: Machine, before: Before) -> str | None:
    """Disable the unit, and wait until it and its members have ended, before anything that they use is gone."""
    is_there = machine.path(f"{UNITS}/{before.name}").exists()
    if is_there:
        machine.run(["systemctl", "disable", before.name])
    if is_there or machine.succeeds(["systemctl", "--quiet", "is-active", before.name]):
        machine.run(["systemctl", "stop", before.name, *before.members])
    return None


def _within(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")


_UNDO = {
    Kind.USER: _remove_user,
    Kind.GROUP: _remove_group,
    Kind.FOLDER: _restore_folder,
    Kind.LOG_FOLDER: _restore_log_folder,
    Kind.STATE_FOLDER: _restore_state_folder,
    Kind.FILE: _restore_file,
    Kind.OWNER: _restore_owner,
    Kind.TRUST: _trust_no_more,
    Kind.LOGIN_WINDOW: _restore_login_window,
    Kind.UNIT: _stop_unit,
}
