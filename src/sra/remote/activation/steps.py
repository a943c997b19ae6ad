"""The steps of an activation. Each knows whether it is done, what was there before, and how it is done."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import ClassVar

from sra.remote.activation.changed_machine import ROOT_OWNER, UNITS, FileState, Machine, Owner, content
from sra.remote.activation.undo import CA_BUNDLE_PROGRAM, Before, Kind, backup, keep_file
from sra.system import files

NO_LOGIN = "/usr/sbin/nologin"
NO_HOME = "/nonexistent"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUSTED = "/usr/local/share/ca-certificates/secure-remote-access.crt"
RELOAD = (("systemctl", "daemon-reload"),)
PCSCD_AGAIN = (
    ("systemctl", "stop", "pcscd.service"),
    ("systemctl", "restart", "pcscd.socket"),
)
"""A socket can't be restarted while its service runs; the next program that wants a card starts that again."""


@dataclass(frozen=True)
class Step:
    """One change of the machine; its kind and name are its identity in the journal."""

    kind: ClassVar[Kind | None] = None
    """``None`` if there is nothing to take back, and nothing to tell."""
    name: str

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether there is nothing to do; ``changed`` if a step before this one was done."""
        raise NotImplementedError

    def do(self, machine: Machine) -> None:
        """Do it; raise ``SraError`` if that can't be."""
        raise NotImplementedError

    def before(self, machine: Machine) -> Before | None:
        """What is there before it is done; ``None`` if there is nothing to take back."""
        return Before(self.kind, self.name) if self.kind else None


@dataclass(frozen=True)
class Folder(Step):
    """A folder of root's."""

    kind: ClassVar[Kind] = Kind.FOLDER
    mode: int = 0o755
    owner: Owner = ROOT_OWNER

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is there with this mode and owner."""
        found = FileState.of(machine.path(self.name))
        return found is not None and found.mode == self.mode and machine.owns(machine.path(self.name), self.owner)

    def before(self, machine: Machine) -> Before:
        """Its mode and owner; raise ``FileError`` if it is a link, which would be changed in another place."""
        path = machine.path(self.name)
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise files.FileError(path, "it has to be a folder, not a link.")
        return Before(self.kind, self.name, FileState.of(path))

    def do(self, machine: Machine) -> None:
        """Make it, or change it."""
        path = machine.path(self.name)
        self.before(machine)
        files.make_folder(path, self.mode)
        path.chmod(self.mode)
        machine.give(path, self.owner)


@dataclass(frozen=True)
class LogFolder(Folder):
    """A folder that the service writes in; what it wrote stays."""

    kind: ClassVar[Kind] = Kind.LOG_FOLDER


@dataclass(frozen=True)
class StateFolder(Folder):
    """A folder that the service writes in, for itself; what it wrote goes."""

    kind: ClassVar[Kind] = Kind.STATE_FOLDER

    def before(self, machine: Machine) -> Before:
        """Its mode and owner, and what is in it."""
        was = super().before(machine).was
        members = sorted(each.name for each in machine.path(self.name).iterdir()) if was else ()
        return Before(self.kind, self.name, was, tuple(members))


@dataclass(frozen=True)
class File(Step):
    """A file with this content, mode and owner."""

    kind: ClassVar[Kind] = Kind.FILE
    data: bytes = field(repr=False)
    mode: int = 0o644
    owner: Owner = ROOT_OWNER

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is there like that."""
        path = machine.path(self.name)
        found = FileState.of(path)
        if found is None or found.mode != self.mode or not machine.owns(path, self.owner):
            return False
        return content(path) == self.data

    def before(self, machine: Machine) -> Before:
        """The file that is there, which is kept."""
        return Before(self.kind, self.name, keep_file(machine, self.name))

    def do(self, machine: Machine) -> None:
        """Write it as a whole."""
        files.replace(machine.path(self.name), self.data, self.mode)
        machine.give(machine.path(self.name), self.owner)


@dataclass(frozen=True)
class ExistingFile(File):
    """A file that is there already, whose content is kept."""

    kind: ClassVar[Kind] = Kind.OWNER
    data: bytes = b""

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it has this mode and owner, or is not there."""
        found = FileState.of(machine.path(self.name))
        return found is None or (found.mode == self.mode and machine.owns(machine.path(self.name), self.owner))

    def before(self, machine: Machine) -> Before:
        """Its mode and owner."""
        content(machine.path(self.name))
        return Before(self.kind, self.name, FileState.of(machine.path(self.name)))

    def do(self, machine: Machine) -> None:
        """Give it away; it is a plain file, or this raises ``FileError``."""
        path = machine.path(self.name)
        content(path)
        path.chmod(self.mode)
        machine.give(path, self.owner)


@dataclass(frozen=True)
class Group(Step):
    """A system group."""

    kind: ClassVar[Kind] = Kind.GROUP

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether there is such a group."""
        return machine.group(self.name) is not None

    def do(self, machine: Machine) -> None:
        """Add it."""
        machine.run(["groupadd", "--system", self.name])


@dataclass(frozen=True)
class SystemUser(Step):
    """A system user without a home, a shell or a password, in a group of its name."""

    kind: ClassVar[Kind] = Kind.USER
    comment: str

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether there are such a user and group."""
        return machine.user(self.name) is not None and machine.group(self.name) is not None

    def do(self, machine: Machine) -> None:
        """Add it; useradd makes it locked."""
        machine.run([
            "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", NO_HOME,
            "--shell", NO_LOGIN, "--comment", self.comment, self.name,
        ])  # fmt: skip


@dataclass(frozen=True)
class TrustedCertificate(Step):
    """A certificate (PEM) that every program of this machine trusts, by Debian's ca-certificates."""

    kind: ClassVar[Kind] = Kind.TRUST
    certificate: bytes = field(repr=False)

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is among the trusted ones."""
        bundle = machine.path(CA_BUNDLE)
        is_there = content(machine.path(self.name)) == self.certificate
        return is_there and bundle.exists() and self.certificate.strip() in bundle.read_bytes()

    def do(self, machine: Machine) -> None:
        """Put it among them."""
        files.make_folder(machine.path(self.name).parent, 0o755)
        files.replace(machine.path(self.name), self.certificate, 0o644)
        machine.run([CA_BUNDLE_PROGRAM])


@dataclass(frozen=True)
class Run(Step):
    """Programs that make changes take effect: run if something was changed. ``runner.deactivate`` has its own."""

    commands: tuple[tuple[str, ...], ...]

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether nothing was changed."""
        return not changed

    def do(self, machine: Machine) -> None:
        """Run them."""
        for argv in self.commands:
            machine.run(argv)


@dataclass(frozen=True)
class Enabled(Step):
    """A unit of systemd that is started at boot, and now."""

    kind: ClassVar[Kind] = Kind.UNIT
    members: tuple[str, ...] = ()
    """The units that stop with it (names or patterns), and whose end is waited for."""

    def is_done(self, machine: Machine, *, changed: bool) -> bool:
        """Whether it is enabled and runs, as it is written now."""
        looks = (["systemctl", "--quiet", verb, self.name] for verb in ("is-enabled", "is-active"))
        return not changed and all(machine.succeeds(argv) for argv in looks)

    def before(self, machine: Machine) -> Before | None:
        """That it was not enabled; ``None`` if it was."""
        was_enabled = machine.succeeds(["systemctl", "--quiet", "is-enabled", self.name])
        return None if was_enabled else Before(self.kind, self.name, members=self.members)

    def do(self, machine: Machine) -> None:
        """Enable it, and start it anew."""
        machine.run(["systemctl", "enable", self.name])
        machine.run(["systemctl", "restart", self.name])


def trace(machine: Machine, step: Step) -> Before | None:
    """What takes a step back whose record is lost, and with it what was there before; ``None`` if it was not done.

    Nothing was there, then, but for a file of which there is a copy; a file that was given away is root's again.
    """
    name = step.name
    match step.kind:
        case None:
            return None
        case Kind.USER | Kind.GROUP:
            is_there = machine.user(name) is not None or machine.group(name) is not None
        case Kind.UNIT:
            is_there = os.path.lexists(machine.path(f"{UNITS}/{name}"))
        case _:
            is_there = os.path.lexists(machine.path(name))
    if isinstance(step, File) and backup(machine, name).exists():
        return Before(Kind.FILE, name, FileState(step.mode, 0, 0))
    was = FileState(step.mode, 0, 0) if isinstance(step, ExistingFile) else None
    members = step.members if isinstance(step, Enabled) else ()
    return Before(step.kind, name, was, members) if is_there else None
