"""What happens in a session, for whoever shows it to the person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sra.errors import RefusalCode
from sra.piv.keys import Operation, PinOutcome, Slot

BY_PERSON = "person"
"""The code of what the person, asked, said no to."""


@dataclass(frozen=True)
class Connected:
    """The connection is authenticated; ``session`` is what both sides' logs call it."""

    account: str
    host: str
    session: str


@dataclass(frozen=True)
class Inserted:
    """The card is in that reader of the remote."""

    reader: str


@dataclass(frozen=True)
class KeyWithheld:
    """A key that was to be inserted is not, since what it decrypts could be a proof for another remote."""

    slot: Slot
    reason: str


@dataclass(frozen=True)
class Ejected:
    """The card is out of the remote's reader, by the person's wish or not."""

    reason: str
    wished: bool = False


@dataclass(frozen=True)
class KeyUsed:
    """The remote had a key used; ``hash_name`` and ``digest`` say what was signed, where that can be told."""

    slot: Slot
    operation: Operation
    hash_name: str
    digest: bytes
    milliseconds: float


@dataclass(frozen=True)
class PinAsked:
    """The remote had the PIN checked: typed there, or on the PIN pad."""

    typed: bool
    outcome: PinOutcome


@dataclass(frozen=True)
class Refused:
    """A request of the remote was refused.

    ``code`` is a ``RefusalCode``, or ``BY_PERSON``. Repetitions are counted by it, since nothing in it is the remote's.
    """

    what: str
    reason: str
    code: str = field(default=RefusalCode.NOT_ALLOWED, compare=False)


@dataclass(frozen=True)
class Flooded:
    """So many requests came too fast and were refused; the first of them is told as ``Refused`` too."""

    refused: int


@dataclass(frozen=True)
class TooMany:
    """A message of this kind (a name of the protocol's) came too fast, and was not acted on."""

    message: str


@dataclass(frozen=True)
class LinkLost:
    """The link broke; it is tried again in ``retry_in`` seconds."""

    reason: str
    retry_in: float


@dataclass(frozen=True)
class RealPinTyped:
    """The card's real PIN was typed on the remote, which knows it now; it was refused there."""


@dataclass(frozen=True)
class CodeClosed:
    """The session code was typed wrong too often: the remote gets nothing until the person opens it again."""


@dataclass(frozen=True)
class CardBusy:
    """The card has been busy with a key use for a while: it may want to be touched."""

    slot: Slot


@dataclass(frozen=True)
class Paused:
    """Nothing is lent (``True``), or it goes on."""

    paused: bool


@dataclass(frozen=True)
class QuestionsStopped:
    """So many questions in a row got no yes, so nothing is asked any more until the person resumes."""

    questions: int


@dataclass(frozen=True)
class ScreenRecorded:
    """The remote says that it records its screen; told before anything is shown."""


@dataclass(frozen=True)
class ScreenOpened:
    """The remote's screen is shown in a viewer here."""

    view_only: bool


@dataclass(frozen=True)
class ScreenClosed:
    """It is not any more; bytes are those of the screen and those of the keyboard and mouse."""

    reason: str
    seconds: int
    received: int
    sent: int


SessionEvent = Connected | Inserted | KeyWithheld | Ejected | LinkLost | Paused
ScreenEvent = ScreenRecorded | ScreenOpened | ScreenClosed
WarningEvent = Flooded | TooMany | QuestionsStopped | RealPinTyped | CodeClosed | CardBusy
UseEvent = KeyUsed | PinAsked | Refused | WarningEvent
Event = SessionEvent | UseEvent | ScreenEvent


class Watcher(Protocol):
    """Whoever shows what happens."""

    def notice(self, event: Event) -> None:
        """Show it; never raises and never waits."""
