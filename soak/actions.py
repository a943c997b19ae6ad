"""What people do: each action begins and ends with Ann's and Bob's cards in their readers, and raises if it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from lab import product
from lab.cards import MODULE
from lab.processes import LabError, Process
from soak.faults import AT_ONCE, Effect
from soak.place import COMES_BACK, SERVICE, Person, Place
from soak.programs import Program
from sra.admin.control import ControlRequest

Done = Effect | None
"""Whose card had to go; ``None`` where none had to."""


@dataclass(frozen=True)
class Action:
    """Something that a person does, by its name. ``leaves_files``: when it is done for the first time."""

    name: str
    do: Callable[[Place, Person], Done]
    leaves_files: bool = False


def _sign(place: Place, person: Person) -> None:
    place.sign(person, time.monotonic())


def _sign_together(place: Place, _: Person) -> None:
    """A reader that another program uses just now is tried again."""
    people = [place.people[name] for name in ("ann", "bob")]
    programs = [place.start_signature(person) for person in people]
    done = [place.is_signed(person, program) for person, program in zip(people, programs, strict=True)]
    for person, is_done in zip(people, done, strict=True):
        if not is_done:
            place.sign(person, time.monotonic() + 5)


def ask_pin(place: Place, person: Person) -> Program:
    """A program that wants the PIN and no key."""
    words = ["--module", MODULE, "--token-label", person.name, "--login", "--list-objects", "--type", "privkey"]
    return Program(place.remote, ["pkcs11-tool", *words])


def log_in(place: Place, _: Person) -> Program:
    """A login through PAM by the card in the first reader."""
    return Program(place.remote, ["pamtester", SERVICE, place.first_name(), "authenticate"])


def _become(place: Place, _: Person) -> Program:
    """``su`` by somebody else, by the card in the first reader."""
    return Program(place.remote, ["su", place.first_name(), "--command", "id -un"], user="cid")


def _succeeds(start: Callable[[Place, Person], Program]) -> Callable[[Place, Person], None]:
    def do(place: Place, person: Person) -> None:
        program = start(place, person)
        if program.finish() != 0:
            raise LabError(f"{program.name} failed: {program.output}")

    return do


def _share(place: Place, _: Person) -> None:
    """Bob sees the remote's screen, and closes the viewer."""
    bob = place.people["bob"]
    screen = place.share(bob)
    place.screen.close_viewer()
    if screen.wait() != 0:
        raise LabError(f"sra screen failed: {screen.output}")


def _eject(place: Place, person: Person) -> Done:
    cause = time.monotonic()
    place.tell(person, ControlRequest.EJECT)
    effect = Effect(cause, [person])
    place.readers.removed_after(cause, place.reader_of(person), AT_ONCE)
    place.tell(person, ControlRequest.INSERT)
    return effect


def _pause(place: Place, person: Person) -> None:
    """While the person has paused, a signature is refused."""
    place.tell(person, ControlRequest.PAUSE)
    try:
        if place.is_signed(person, place.start_signature(person)):
            raise LabError("a key was used while its person had paused")
    finally:
        place.tell(person, ControlRequest.RESUME)


def _leave(place: Place, person: Person) -> Done:
    effect = Effect(time.monotonic(), [person])
    place.end_connection(person)
    return effect


def _take_over(place: Place, person: Person) -> None:
    """The same card is connected again: the former connection ends by itself."""
    former = place.connection_of(person)
    place.connect(person).wait_for("The card is inserted", COMES_BACK)
    _expect_end(former, 5)


def _one_too_many(place: Place, _: Person) -> None:
    """A third card finds no reader."""
    cid = place.people["cid"]
    _expect_end(place.connect(cid), 3)


def _pull(place: Place, person: Person) -> Done:
    """The card is pulled out of the admin's machine, and put in again."""
    files, elsewhere = f"{product.CARDS}/{person.name}", f"/root/{person.name}-pulled"
    connection = place.connection_of(person)
    place.admin.run(["mkdir", "-p", elsewhere])
    effect = Effect(time.monotonic(), [person])
    place.admin.run(["sh", "-c", f"mv {files}.* {elsewhere}/"])
    with suppress(LabError):
        connection.wait(10)
    place.admin.run(["sh", "-c", f"mv {elsewhere}/* {product.CARDS}/; rmdir {elsewhere}"])
    _expect_end(connection, 4)
    return effect


def _expect_end(connection: Process, status: int) -> None:
    """Have it end with that status."""
    ended = connection.wait(COMES_BACK)
    if ended != status:
        raise LabError(f"sra connect ended with {ended}, not {status}: {connection.output[-2000:]}")
    connection.close()


ACTIONS: Sequence[Action] = (
    Action("a signature", _sign),
    Action("signatures of two at once", _sign_together),
    Action("a PIN question", _succeeds(ask_pin)),
    Action("a login", _succeeds(log_in), leaves_files=True),
    Action("su", _succeeds(_become), leaves_files=True),
    Action("a shared screen", _share, leaves_files=True),
    Action("eject and insert", _eject),
    Action("pause and resume", _pause),
    Action("disconnect and connect", _leave),
    Action("the same card again", _take_over),
    Action("one card too many", _one_too_many, leaves_files=True),
    Action("the card pulled", _pull),
)
