"""Do the steps, or take them back, so that whoever is interrupted can begin again and ends in the same place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from sra.remote.activation import journal
from sra.remote.activation.changed_machine import Machine
from sra.remote.activation.journal import Journal, JournalEntry, LostError, Requested
from sra.remote.activation.steps import Step

Tell = Callable[[str], None]
"""Hears of each step that is done or taken back, and of what stays."""


def activate(machine: Machine, steps: Sequence[Step], wanted: Requested, tell: Tell) -> bool:
    """Do every step that is not done; whether there was one. Raises ``SraError`` and can be run again."""
    record = journal.read(machine) or Journal()
    changed = not record.complete
    for step in steps:
        if step.is_done(machine, changed=changed):
            continue
        record = msgspec.structs.replace(record, complete=False, wanted=wanted)
        if not record.has(step.name):
            record = journal.with_entry(record, JournalEntry(step.name, step.before(machine)))
        journal.write(machine, record)
        step.do(machine)
        if step.is_told:
            tell(step.name)
        changed = True
    if changed or record.wanted != wanted:
        journal.write(machine, msgspec.structs.replace(record, complete=True, wanted=wanted))
    return changed


def deactivate(machine: Machine, tell: Tell) -> bool:
    """Take back what is in the journal: services end first, then the last step; whether there was anything.

    Can be run again.
    """
    record = journal.read(machine)
    if record is None:
        return False
    while record.entries:
        entry = journal.next_to_take_back(record)
        note = entry.undo.take_back(machine)
        if note or entry.undo.is_told:
            tell(note or f"taken back: {entry.step}")
        record = msgspec.structs.replace(journal.without(record, entry), complete=False)
        journal.write(machine, record)
    journal.remove(machine)
    return True


def rebuild(machine: Machine, steps: Sequence[Step], tell: Tell) -> None:
    """Where the journal is lost, write one of the traces that these steps leave, so that they can be taken back."""
    try:
        journal.read(machine)
    except LostError as error:
        tell(f"{error.what}: what an activation leaves on any machine is taken back; the identity stays")
        undos = [(step.name, step.lost(machine)) for step in steps]
        journal.write(
            machine, Journal(entries=tuple(JournalEntry(name, undo) for name, undo in undos if undo is not None))
        )
