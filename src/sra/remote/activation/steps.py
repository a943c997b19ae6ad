"""The steps of an activation. Each knows whether it is done, what would take it back, and how it is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from sra.remote.activation.changed_machine import ROOT_OWNER, UNITS, Machine, Owner, content, state
from sra.remote.activation.undo import (
    CA_BUNDLE_PROGRAM,
    AnyUndo,
    DistrustCertificate,
    RemoveEmptyFolder,
    RemoveFile,
    RemoveFolder,
    RemoveGroup,
    RemoveTree,
    RemoveUser,
    RestoreOwner,
    RestoreState,
    RunPrograms,
    StopUnit,
    keep_file,
    kept_file,
)
from sra.system import files

NO_LOGIN = "/usr/sbin/nologin"
NO_HOME = "/nonexistent"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUSTED = "/usr/local/share/ca-certificates/secure-remote-access.crt"


class Step(Protocol):
    """One change of the machine; ``name`` is its identity in the journal."""

    @property
    def name(self) -> str:
        """What is changed, for the journal and for people."""

    is_told: ClassVar[bool]
    """Whether a person wants to know."""

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether there is nothing to do; ``changed`` if a step before this one was done."""

    def before(self, machine: Machine) -> AnyUndo:
        """What would take the step back; looked at before it is done."""

    def lost(self, machine: Machine) -> AnyUndo | None:
        """What takes it back when the journal is lost, and with it what was there before; ``None`` if not done."""

    def do(self, machine: Machine) -> None:
        """Do it; raise ``SraError`` if that can't be."""


class Change:
    """A step that a person is told of."""

    is_told: ClassVar[bool] = True


@dataclass(frozen=True)
class Folder(Change):
    """A folder with this mode and owner; ``is_state`` if only the service writes in it, for itself."""

    path: str
    mode: int = 0o755
    owner: Owner = ROOT_OWNER
    is_state: bool = False

    @property
    def name(self) -> str:
        """The folder."""
        return f"folder {self.path}"

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is there like that."""
        found = state(machine.path(self.path))
        return found is not None and found.mode == self.mode and machine.owns(machine.path(self.path), self.owner)

    def before(self, machine: Machine) -> AnyUndo:
        """Remove it, or give it back."""
        path = machine.path(self.path)
        found = state(path)
        if found is not None and self.is_state and path.is_dir() and not path.is_symlink():
            kept = tuple(sorted(each.name for each in path.iterdir()))
            return RestoreState(self.path, found.mode, found.uid, found.gid, kept)
        if found is not None:
            return RestoreOwner(self.path, found.mode, found.uid, found.gid)
        return RemoveTree(self.path) if self.is_state else RemoveFolder(self.path)

    def lost(self, machine: Machine) -> AnyUndo | None:
        """Remove it; of what is root's, nobody knows whose folder it was: only if it is empty."""
        if state(machine.path(self.path)) is None:
            return None
        if self.owner == ROOT_OWNER:
            return RemoveEmptyFolder(self.path)
        return RemoveTree(self.path) if self.is_state else RemoveFolder(self.path)

    def do(self, machine: Machine) -> None:
        """Make it, or change it."""
        path = machine.path(self.path)
        files.make_folder(path, self.mode)
        if path.is_symlink() or not path.is_dir():
            raise files.FileError(path, "it has to be a folder, not a link.")
        path.chmod(self.mode)
        machine.give(path, self.owner)


@dataclass(frozen=True)
class File(Change):
    """A file with this content, mode and owner."""

    path: str
    data: bytes = field(repr=False)
    mode: int = 0o644
    owner: Owner = ROOT_OWNER

    @property
    def name(self) -> str:
        """The file."""
        return f"file {self.path}"

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is there like that."""
        path = machine.path(self.path)
        found = state(path)
        if found is None or found.mode != self.mode or not machine.owns(path, self.owner):
            return False
        return content(path) == self.data

    def before(self, machine: Machine) -> AnyUndo:
        """Remove it, or put the former one back."""
        return keep_file(machine, self.path)

    def lost(self, machine: Machine) -> AnyUndo | None:
        """Put the former one back, or remove it."""
        return kept_file(machine, self.path, self.mode)

    def do(self, machine: Machine) -> None:
        """Write it as a whole."""
        files.replace(machine.path(self.path), self.data, self.mode)
        machine.give(machine.path(self.path), self.owner)


@dataclass(frozen=True)
class ExistingFile(Change):
    """A file that is there already, with this mode and owner."""

    path: str
    mode: int
    owner: Owner

    @property
    def name(self) -> str:
        """The file's owner."""
        return f"owner of {self.path}"

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is like that, or not there."""
        found = state(machine.path(self.path))
        return found is None or (found.mode == self.mode and machine.owns(machine.path(self.path), self.owner))

    def before(self, machine: Machine) -> AnyUndo:
        """Give it back."""
        found = machine.path(self.path).lstat()
        return RestoreOwner(self.path, found.st_mode & 0o7777, found.st_uid, found.st_gid)

    def lost(self, machine: Machine) -> AnyUndo | None:
        """Put the former one back, or leave this one to root."""
        kept = kept_file(machine, self.path, self.mode)
        return RestoreOwner(self.path, self.mode, 0, 0) if isinstance(kept, RemoveFile) else kept

    def do(self, machine: Machine) -> None:
        """Give it away; it is a plain file, or this raises ``FileError``."""
        path = machine.path(self.path)
        content(path)
        path.chmod(self.mode)
        machine.give(path, self.owner)


@dataclass(frozen=True)
class Group(Change):
    """A system group."""

    group: str

    @property
    def name(self) -> str:
        """The group."""
        return f"group {self.group}"

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether there is such a group."""
        return machine.group(self.group) is not None

    def before(self, machine: Machine) -> AnyUndo:
        """Remove it."""
        return RemoveGroup(self.group)

    def lost(self, machine: Machine) -> AnyUndo | None:
        """Remove it."""
        return RemoveGroup(self.group) if self.is_done(machine, changed=False) else None

    def do(self, machine: Machine) -> None:
        """Add it."""
        machine.run(["groupadd", "--system", self.group])


@dataclass(frozen=True)
class SystemUser(Change):
    """A system user without a home, a shell or a password, in a group of its name."""

    user: str
    comment: str

    @property
    def name(self) -> str:
        """The user."""
        return f"user {self.user}"

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether there are such a user and group."""
        return machine.user(self.user) is not None and machine.group(self.user) is not None

    def before(self, machine: Machine) -> AnyUndo:
        """Remove it."""
        return RemoveUser(self.user)

    def lost(self, machine: Machine) -> AnyUndo | None:
        """Remove it."""
        is_there = machine.user(self.user) is not None or machine.group(self.user) is not None
        return RemoveUser(self.user) if is_there else None

    def do(self, machine: Machine) -> None:
        """Add it; useradd makes it locked."""
        machine.run([
            "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", NO_HOME,
            "--shell", NO_LOGIN, "--comment", self.comment, self.user,
        ])  # fmt: skip


@dataclass(frozen=True)
class TrustedCertificate(Change):
    """A certificate (PEM) that every program of this machine trusts, by Debian's ca-certificates."""

    certificate: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The trust."""
        return f"trust {TRUSTED}"

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is among the trusted ones."""
        bundle = machine.path(CA_BUNDLE)
        is_there = content(machine.path(TRUSTED)) == self.certificate
        return is_there and bundle.exists() and self.certificate.strip() in bundle.read_bytes()

    def before(self, machine: Machine) -> AnyUndo:
        """Trust it no more."""
        return DistrustCertificate(TRUSTED)

    def lost(self, machine: Machine) -> AnyUndo | None:
        """Trust it no more."""
        return DistrustCertificate(TRUSTED) if state(machine.path(TRUSTED)) else None

    def do(self, machine: Machine) -> None:
        """Put it among them."""
        files.make_folder(machine.path(TRUSTED).parent, 0o755)
        files.replace(machine.path(TRUSTED), self.certificate, 0o644)
        machine.run([CA_BUNDLE_PROGRAM])


@dataclass(frozen=True)
class Run:
    """Programs that make changes take effect: run if something was changed, and again when it is taken back."""

    purpose: str
    on_change: tuple[tuple[str, ...], ...] = ()
    on_undo: tuple[tuple[str, ...], ...] = ()
    is_told: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What for."""
        return self.purpose

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether nothing was changed."""
        return not changed

    def before(self, machine: Machine) -> AnyUndo:
        """Run the others."""
        return RunPrograms(self.on_undo)

    def lost(self, machine: Machine) -> AnyUndo | None:
        """Run the others."""
        return RunPrograms(self.on_undo)

    def do(self, machine: Machine) -> None:
        """Run them."""
        for argv in self.on_change:
            machine.run(argv)


@dataclass(frozen=True)
class Enabled(Change):
    """A unit of systemd that is started at boot, and now."""

    unit: str
    parts: tuple[str, ...] = ()
    """The units that stop with it (names or patterns), and whose end is waited for."""

    @property
    def name(self) -> str:
        """The unit."""
        return f"unit {self.unit}"

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is enabled and runs, as it is written now."""
        looks = (["systemctl", "--quiet", verb, self.unit] for verb in ("is-enabled", "is-active"))
        return not changed and all(machine.succeeds(argv) for argv in looks)

    def before(self, machine: Machine) -> AnyUndo:
        """Stop and disable it, unless it was so."""
        was_enabled = machine.succeeds(["systemctl", "--quiet", "is-enabled", self.unit])
        return RunPrograms(()) if was_enabled else StopUnit(self.unit, self.parts)

    def lost(self, machine: Machine) -> AnyUndo | None:
        """Stop and disable it."""
        return StopUnit(self.unit, self.parts) if state(machine.path(f"{UNITS}/{self.unit}")) else None

    def do(self, machine: Machine) -> None:
        """Enable it, and start it anew."""
        machine.run(["systemctl", "enable", self.unit])
        machine.run(["systemctl", "restart", self.unit])
