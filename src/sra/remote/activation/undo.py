"""What takes a step back: a value in the journal, made before the step is done. Taking back twice does no harm."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import msgspec

from sra.remote.activation.changed_machine import ActivationError, LoginScreen, Machine, content
from sra.system import files

BACKUPS = "/var/lib/sra-activation/before"
"""Where the files are kept that activation replaced."""

CA_BUNDLE_PROGRAM = "update-ca-certificates"
LOGIN_WINDOW = "lightdm.service"


class Undo(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """Something that can be taken back."""

    is_told: ClassVar[bool] = True
    """Whether a person wants to know."""
    goes_first: ClassVar[bool] = False
    """Whether it is taken back before all others, whenever it was done."""

    def take_back(self, machine: Machine) -> str | None:
        """Make it as it was before; a note if something has to stay. Raises ``SraError``."""
        raise NotImplementedError


class RemoveFile(Undo, frozen=True, tag="remove-file"):
    """There was no such file."""

    path: str

    def take_back(self, machine: Machine) -> str | None:
        """Remove it."""
        _remove(machine.path(self.path))
        return None


class RestoreFile(Undo, frozen=True, tag="restore-file"):
    """There was another file, which is kept in ``backup``."""

    path: str
    backup: str
    mode: int
    uid: int
    gid: int

    def take_back(self, machine: Machine) -> str | None:
        """Put the former file back."""
        backup = machine.path(self.backup)
        data = content(backup)
        if data is None:
            return None  # it was put back already
        files.replace(machine.path(self.path), data, self.mode)
        machine.chown(machine.path(self.path), self.uid, self.gid)
        backup.unlink()
        return None


class RemoveFolder(Undo, frozen=True, tag="remove-folder"):
    """There was no such folder. What others have put there since stays, and is root's."""

    path: str

    def take_back(self, machine: Machine) -> str | None:
        """Remove it if it is empty."""
        folder = machine.path(self.path)
        for lock in folder.glob(".*.lock"):
            _remove(lock)
        with suppress(FileNotFoundError):
            try:
                folder.rmdir()
            except OSError:
                for each in _within(folder):
                    machine.chown(each, 0, 0)
                return f"{self.path} stays, with what was put there since the activation"
        return None


class RemoveEmptyFolder(Undo, frozen=True, tag="remove-empty-folder"):
    """Nobody knows whether there was such a folder. What is in it, and whose that is, stays."""

    is_told: ClassVar[bool] = False

    path: str

    def take_back(self, machine: Machine) -> str | None:
        """Remove it if it is empty."""
        with suppress(OSError):
            machine.path(self.path).rmdir()
        return None


class RemoveTree(Undo, frozen=True, tag="remove-tree"):
    """There was no such folder, and all that is in it is the service's own."""

    path: str

    def take_back(self, machine: Machine) -> str | None:
        """Remove it with everything in it."""
        with suppress(FileNotFoundError):
            shutil.rmtree(machine.path(self.path))
        return None


class RestoreOwner(Undo, frozen=True, tag="restore-owner"):
    """The file or folder was there, with another mode or owner."""

    path: str
    mode: int
    uid: int
    gid: int

    def take_back(self, machine: Machine) -> str | None:
        """Give it back."""
        with suppress(FileNotFoundError):
            machine.path(self.path).chmod(self.mode)
            machine.chown(machine.path(self.path), self.uid, self.gid)
        return None


class RestoreState(Undo, frozen=True, tag="restore-state"):
    """The service's folder was there, with what is in ``kept``; all else in it is the service's own.

    Nothing stays that belongs to the service's user: another user may get the number later.
    """

    path: str
    mode: int
    uid: int
    gid: int
    kept: tuple[str, ...]

    def take_back(self, machine: Machine) -> str | None:
        """Give the folder back with what was there; remove the rest."""
        folder = machine.path(self.path)
        with suppress(FileNotFoundError):
            for each in tuple(folder.iterdir()):
                if each.name not in self.kept:
                    _remove_all(each)
            for each in _within(folder):
                machine.chown(each, self.uid, self.gid)
            folder.chmod(self.mode)
        return None


class RemoveUser(Undo, frozen=True, tag="remove-user"):
    """There was no such user."""

    name: str

    def take_back(self, machine: Machine) -> str | None:
        """Remove it, with the group of its name."""
        if machine.user(self.name) is not None:
            machine.run(["userdel", self.name])
        if machine.group(self.name) is not None:
            machine.run(["groupdel", self.name])
        return None


class RemoveGroup(Undo, frozen=True, tag="remove-group"):
    """There was no such group."""

    name: str

    def take_back(self, machine: Machine) -> str | None:
        """Remove it."""
        members = machine.members(self.name)
        if machine.group(self.name) is not None:
            machine.run(["groupdel", self.name])
        return f"the group {self.name} is gone; in it were: {', '.join(members)}" if members else None


class RunPrograms(Undo, frozen=True, tag="run"):
    """Programs bring back what was."""

    is_told: ClassVar[bool] = False

    commands: tuple[tuple[str, ...], ...]

    def take_back(self, machine: Machine) -> str | None:
        """Run them."""
        for argv in self.commands:
            machine.run(argv)
        return None


class StopUnit(Undo, frozen=True, tag="stop-unit"):
    """The unit was not enabled. It and its ``parts`` (names or patterns) end before anything that they use is gone."""

    goes_first: ClassVar[bool] = True

    unit: str
    parts: tuple[str, ...]

    def take_back(self, machine: Machine) -> str | None:
        """Disable it, and wait until all of it has ended."""
        machine.run(["systemctl", "disable", self.unit])
        machine.run(["systemctl", "stop", self.unit, *self.parts])
        return None


class DistrustCertificate(Undo, frozen=True, tag="distrust"):
    """The certificate was not trusted by this machine."""

    path: str

    def take_back(self, machine: Machine) -> str | None:
        """Remove it from the trusted ones."""
        _remove(machine.path(self.path))
        if machine.path(f"/usr/sbin/{CA_BUNDLE_PROGRAM}").exists():
            machine.run([CA_BUNDLE_PROGRAM, "--fresh"])
        return None


class RestoreLoginWindow(Undo, frozen=True, tag="restore-login-window"):
    """LightDM was not told of a virtual screen by this file. Nobody's session is ended for taking that back."""

    path: str

    def take_back(self, machine: Machine) -> str | None:
        """Remove the file, and have LightDM begin again without it."""
        _remove(machine.path(self.path))
        if not machine.succeeds(["systemctl", "--quiet", "is-active", LOGIN_WINDOW]):
            return None
        if machine.screen() is LoginScreen.IN_USE:
            return (
                "the virtual screen stays while somebody is logged in there; "
                f"when nobody is, run: systemctl restart {LOGIN_WINDOW}"
            )
        machine.run(["systemctl", "stop", LOGIN_WINDOW])
        # Not waited for: without a screen it may well fail again, as before.
        machine.run(["systemctl", "--no-block", "start", LOGIN_WINDOW])
        return None


AnyUndo = (
    RemoveFile
    | RestoreFile
    | RemoveTree
    | RemoveFolder
    | RemoveEmptyFolder
    | RestoreOwner
    | RestoreState
    | RemoveUser
    | RemoveGroup
    | RunPrograms
    | StopUnit
    | DistrustCertificate
    | RestoreLoginWindow
)


def keep_file(machine: Machine, name: str) -> AnyUndo:
    """How to bring back what is under this name now; a file is copied for that."""
    path = machine.path(name)
    try:
        data = content(path)
    except files.FileError as error:
        raise ActivationError(f"{error} It is in the way of the activation.") from error
    if data is None:
        return RemoveFile(name)
    found = path.lstat()
    backup = _backup(name)
    files.make_folder(machine.path(BACKUPS), 0o700)
    files.replace(machine.path(backup), data, 0o600)
    return RestoreFile(name, backup, found.st_mode & 0o7777, found.st_uid, found.st_gid)


def kept_file(machine: Machine, name: str, mode: int) -> AnyUndo | None:
    """How to bring back what was under this name once, by the copy alone; ``None`` if there is nothing to do."""
    backup = _backup(name)
    if machine.path(backup).exists():
        return RestoreFile(name, backup, mode, 0, 0)
    return RemoveFile(name) if os.path.lexists(machine.path(name)) else None


def _backup(name: str) -> str:
    """Where the copy of this file is."""
    return f"{BACKUPS}/{name.strip('/').replace('/', '-')}"


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _remove_all(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        _remove(path)


def _within(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")
