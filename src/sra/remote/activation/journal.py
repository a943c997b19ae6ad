"""The record of what was there before (``/var/lib/sra-activation``): written before anything is changed.

What stands in it is done by root, so it has a folder of its own that only root can write in.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

import msgspec

from sra.remote.activation.changed_machine import MAX_FILE, UNITS, ActivationError, FileState, Machine
from sra.remote.activation.undo import BACKUPS, Before, Kind
from sra.system import files

STATE = "/var/lib/sra-activation"
JOURNAL = f"{STATE}/journal.json"
TRACE = f"{UNITS}/sra.target"
"""What only an activation makes, and what has the services started at boot."""
VERSION = 2


class LostError(ActivationError):
    """The journal can't be used, or is gone: what it said is unknown."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}, so it is unknown what was there before the activation. To begin anew, run “sra deactivate” (it "
            "takes back everything that an activation does, and keeps the identity), then “sra activate”."
        )
        self.what = what


class Requested(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked for so far: to trust the own certificate, the screen sharing user, a screen without a monitor."""

    trust: bool = False
    screen: bool = False
    virtual_screen: bool = False


class Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was there before, for each step that was begun; ``complete`` unless an activation was interrupted."""

    version: int = VERSION
    complete: bool = False
    wanted: Requested = Requested()
    entries: tuple[Before, ...] = ()

    def has(self, kind: Kind, name: str) -> bool:
        """Whether it is known what was there before this was changed."""
        return any((entry.kind, entry.name) == (kind, name) for entry in self.entries)


class _Version(msgspec.Struct):
    version: int


def read(machine: Machine) -> Journal | None:
    """The journal; ``None`` if this machine is not activated. Raises ``LostError`` if it is of no use."""
    try:
        found = files.read(machine.path(JOURNAL), MAX_FILE)
    except files.FileError as error:
        raise LostError(str(error).rstrip(".")) from error
    if found is None:
        if FileState.of(machine.path(TRACE)):
            raise LostError(f"{JOURNAL} is missing on an activated machine")
        return None
    if found.owner not in {0, os.geteuid()}:
        raise LostError(f"{JOURNAL} belongs to a user other than root")
    try:
        version = msgspec.json.decode(found.data, type=_Version).version
        if version > VERSION:
            raise ActivationError(f"{JOURNAL} was written by a newer version of this product; use that one.")
        if version < VERSION:
            raise LostError(f"{JOURNAL} is of an older version of this product")
        return msgspec.json.decode(found.data, type=Journal)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LostError(f"{JOURNAL} is damaged ({error})") from error


def write(machine: Machine, record: Journal) -> None:
    """Put the journal on the disk."""
    files.make_folder(machine.path(STATE), 0o700)
    files.replace(machine.path(JOURNAL), msgspec.json.format(msgspec.json.encode(record), indent=1), 0o600)


def remove(machine: Machine) -> None:
    """Everything is taken back: remove the copies, the journal, and its folder if nothing else is in it."""
    with suppress(FileNotFoundError):
        shutil.rmtree(machine.path(BACKUPS))
    machine.path(JOURNAL).unlink(missing_ok=True)
    with suppress(OSError):
        machine.path(STATE).rmdir()
