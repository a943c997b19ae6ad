"""The machine that is changed: its files below one root, its local users, and the programs that are run on it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sra.errors import UsageError
from sra.system import files

Execute = Callable[[Sequence[str]], tuple[int, str]]
"""Run a program (argv, no shell) to its end: its exit status and what it said."""
Chown = Callable[[Path, int, int], None]

ROOT = "root"
UNITS = "/etc/systemd/system"
MAX_FILE = 1024 * 1024
"""Bytes of a file that activation writes or replaces: units and certificates have a few thousand."""


class ActivationError(UsageError):
    """This machine can't be activated or deactivated as asked; the text says what to do."""


@dataclass(frozen=True)
class Owner:
    """The user and group that a file belongs to, by name."""

    user: str = ROOT
    group: str = ROOT


ROOT_OWNER = Owner()


@dataclass(frozen=True)
class FileState:
    """What can be seen of a file or folder without opening it."""

    mode: int
    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """What is there under this name, a symbolic link itself; ``None`` for nothing."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        return cls(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


class LoginScreen(Enum):
    """What the machine's screen shows."""

    NONE = "none"
    LOGIN_WINDOW = "login window"
    IN_USE = "in use"
    """A user is logged in there."""


@dataclass(frozen=True)
class Machine:
    """The files below ``root``, and how to run programs, look at the screen, and give files away."""

    root: Path
    execute: Execute
    screen: Callable[[], LoginScreen]
    chown: Chown = os.lchown
    """Of a symbolic link the link itself: the service can have left one that leads anywhere."""

    def path(self, name: str) -> Path:
        """Where an absolute path of the machine is."""
        return self.root / name.removeprefix("/")

    def run(self, argv: Sequence[str]) -> None:
        """Run a program; raise ``ActivationError`` with what it said unless its exit status is 0."""
        status, said = self.execute(argv)
        if status != 0:
            text = " ".join(said.split()) or "no message"
            raise ActivationError(f"“{' '.join(argv)}” failed ({status}): {text}")

    def succeeds(self, argv: Sequence[str]) -> bool:
        """Whether a program that only looks ends with 0."""
        return self.execute(argv)[0] == 0

    def user(self, name: str) -> int | None:
        """The number of a local user (passwd(5))."""
        return self._number("/etc/passwd", name)

    def group(self, name: str) -> int | None:
        """The number of a local group (group(5))."""
        return self._number("/etc/group", name)

    def members(self, name: str) -> list[str]:
        """The members of a local group."""
        fields = self._fields("/etc/group", name)
        return [member for member in fields[3].split(",") if member] if len(fields) > 3 else []

    def owns(self, path: Path, owner: Owner) -> bool:
        """Whether a file belongs to this owner."""
        found = FileState.of(path)
        return found is not None and (found.uid, found.gid) == (self.user(owner.user), self.group(owner.group))

    def give(self, path: Path, owner: Owner) -> None:
        """Give a file to its owner; raise ``ActivationError`` if there is no such user or group."""
        user, group = self.user(owner.user), self.group(owner.group)
        if user is None or group is None:
            raise ActivationError(f"{path} should belong to {owner.user}:{owner.group}, but there is no such account.")
        self.chown(path, user, group)

    def _number(self, table: str, name: str) -> int | None:
        fields = self._fields(table, name)
        return int(fields[2]) if len(fields) > 2 else None

    def _fields(self, table: str, name: str) -> list[str]:
        for line in self.path(table).read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return fields
        return []


def content(path: Path) -> bytes | None:
    """What a small file holds; ``None`` if there is none."""
    found = files.read(path, MAX_FILE)
    return None if found is None else found.data
