"""The record of what was changed (``/var/lib/sra-activation``): written before each step, so nothing is lost.

What stands in it is done by root, so it has a folder of its own that only root can write in.
"""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from sra.remote.activation.changed_machine import MAX_FILE, UNITS, ActivationError, Machine, state
from sra.remote.activation.undo import BACKUPS, AnyUndo
from sra.system import files

STATE = "/var/lib/sra-activation"
JOURNAL = f"{STATE}/journal.json"
TRACE = f"{UNITS}/sra.target"
"""What only an activation makes, and what has the services started at boot."""
VERSION = 1


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


class JournalEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step that was begun, and what takes it back."""

    step: str
    undo: AnyUndo


class Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole journal; ``complete`` unless an activation was interrupted."""

    version: int = VERSION
    complete: bool = False
    wanted: Requested = Requested()
    entries: tuple[JournalEntry, ...] = ()

    def has(self, step: str) -> bool:
        """Whether this step was begun."""
        return any(entry.step == step for entry in self.entries)

    def has_file(self, path: str) -> bool:
        """Whether this file was written by an activation."""
        return self.has(f"file {path}")


def read(machine: Machine) -> Journal | None:
    """The journal; ``None`` if this machine is not activated. Raises ``LostError`` if it is of no use."""
    try:
        found = files.read(machine.path(JOURNAL), MAX_FILE)
    except files.FileError as error:
        raise LostError(str(error).rstrip(".")) from error
    if found is None:
        if state(machine.path(TRACE)):
            raise LostError(f"{JOURNAL} is missing on an activated machine")
        return None
    if found.owner not in {0, os.geteuid()}:
        raise LostError(f"{JOURNAL} belongs to somebody else than root")
    try:
        record = msgspec.json.decode(found.data, type=Journal)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LostError(f"{JOURNAL} is damaged ({error})") from error
    if record.version != VERSION:
        raise ActivationError(f"{JOURNAL} was written by another version of this product; use that one.")
    return record


def write(machine: Machine, record: Journal) -> None:
    """Put the journal on the disk."""
    files.make_folder(machine.path(STATE), 0o700)
    files.replace(machine.path(JOURNAL), msgspec.json.format(msgspec.json.encode(record), indent=1), 0o600)


def remove(machine: Machine) -> None:
    """Everything is taken back: remove the journal, and its folder if nothing else is in it."""
    with suppress(FileNotFoundError):
        machine.path(JOURNAL).unlink()
    for folder in (BACKUPS, STATE):
        with suppress(OSError):
            machine.path(folder).rmdir()


def with_entry(record: Journal, entry: JournalEntry) -> Journal:
    """The journal with one more entry."""
    return msgspec.structs.replace(record, entries=(*record.entries, entry))


def next_to_take_back(record: Journal) -> JournalEntry:
    """The last entry, or before it what goes first."""
    return next((entry for entry in record.entries if entry.undo.goes_first), record.entries[-1])


def without(record: Journal, gone: JournalEntry) -> Journal:
    """The journal without an entry that was taken back."""
    return msgspec.structs.replace(record, entries=tuple(entry for entry in record.entries if entry is not gone))
