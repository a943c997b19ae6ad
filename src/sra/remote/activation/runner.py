"""Do the steps, or take them back. Both can be interrupted anywhere, and end in the same place when run again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from sra.remote.activation import journal
from sra.remote.activation.changed_machine import Machine
from sra.remote.activation.journal import Journal, LostError, Requested
from sra.remote.activation.steps import PCSCD_AGAIN, RELOAD, Step, trace
from sra.remote.activation.undo import Before, Kind

Tell = Callable[[str], None]
"""Hears of each step that is done or taken back, and of what stays."""
ACCOUNTS = (Kind.USER, Kind.GROUP)


def activate(machine: Machine, steps: Sequence[Step], wanted: Requested, tell: Tell) -> bool:
    """Do every step that is not done; whether there was one. Raises ``SraError`` and can be run again.

    What is there before is recorded first, for all steps at once: whenever this is interrupted, it can be brought back.
    """
    record = journal.read(machine) or Journal()
    changed = not record.complete
    missing = [step for step in steps if not step.is_done(machine, changed=changed)]
    if not missing and record.wanted == wanted:
        return False
    new = [step.before(machine) for step in missing if step.kind and not record.has(step.kind, step.name)]
    entries = (*record.entries, *filter(None, new))
    record = msgspec.structs.replace(record, complete=not missing, wanted=wanted, entries=entries)
    journal.write(machine, record)
    for step in steps:
        if step.is_done(machine, changed=changed):
            continue
        step.do(machine)
        if step.kind:
            tell(f"{step.kind.value} {step.name}")
        changed = True
    if not record.complete:
        journal.write(machine, msgspec.structs.replace(record, complete=True))
    return changed


def deactivate(machine: Machine, tell: Tell) -> bool:
    """Take back what is in the journal, the last step first; whether there was anything. Can be run again.

    The services end before anything that they use is gone, and the users go when nothing is theirs any more.
    """
    record = journal.read(machine)
    if record is None:
        return False
    journal.write(machine, msgspec.structs.replace(record, complete=False))
    entries = record.entries[::-1]
    _take_back(machine, (each for each in record.entries if each.kind is Kind.UNIT), tell)
    _take_back(machine, (each for each in entries if each.kind not in {Kind.UNIT, *ACCOUNTS}), tell)
    for argv in (*RELOAD, *PCSCD_AGAIN):
        machine.run(argv)
    _take_back(machine, (each for each in entries if each.kind in ACCOUNTS), tell)
    journal.remove(machine)
    return True


def _take_back(machine: Machine, entries: Iterable[Before], tell: Tell) -> None:
    for before in entries:
        note = before.take_back(machine)
        tell(note or f"taken back: {before.kind.value} {before.name}")


def rebuild(machine: Machine, steps: Sequence[Step], tell: Tell) -> None:
    """Where the journal is lost, write one of the traces that these steps leave, so that they can be taken back."""
    try:
        journal.read(machine)
    except LostError as error:
        tell(f"{error.what}: what an activation leaves on any machine is taken back; the identity stays")
        found = tuple(before for step in steps if (before := trace(machine, step)))
        journal.write(machine, Journal(entries=found))
