"""The admin's own record of what a remote did with the card, and how much of it is kept (``sra.ledger``)."""

from __future__ import annotations

from collections.abc import Mapping

from sra.admin.events import (
    BY_PERSON,
    CardBusy,
    CodeClosed,
    Connected,
    Ejected,
    Event,
    Flooded,
    Inserted,
    KeyUsed,
    KeyWithheld,
    LinkLost,
    Paused,
    PinAsked,
    QuestionsStopped,
    RealPinTyped,
    Refused,
    ScreenClosed,
    ScreenOpened,
    ScreenRecorded,
    TooMany,
    Watcher,
)
from sra.audit import Fact, RecordEvent
from sra.ledger import BY_KEYS, BY_PEOPLE, ONCE_A_MINUTE, EventRule
from sra.piv.keys import Slot


class AuditTrail:
    """Writes every event down, then passes it on."""

    def __init__(self, record: RecordEvent, remote: str, following: Watcher) -> None:
        self._record = record
        self._facts: dict[str, str] = {"remote": remote}
        self._following = following

    def notice(self, event: Event) -> None:
        """Write it down first: what is shown has been recorded."""
        if isinstance(event, Connected):
            self._facts |= {"account": event.account, "session": event.session}
        self._record(NAMES[type(event)], **self._facts, **_facts(event))
        self._following.notice(event)


OF_ALL = ("account", "session")
"""What ``Connected`` says of all events after it."""

NAMES: dict[type[Event], str] = {
    Connected: "connected",
    Inserted: "inserted",
    KeyWithheld: "withheld",
    Ejected: "ejected",
    KeyUsed: "key-use",
    PinAsked: "pin",
    Refused: "refused",
    QuestionsStopped: "asked-in-vain",
    Flooded: "flood",
    TooMany: "too-many",
    LinkLost: "link-lost",
    RealPinTyped: "real-pin-typed",
    CodeClosed: "code-closed",
    CardBusy: "card-waits",
    Paused: "paused",
    ScreenRecorded: "screen-is-recorded",
    ScreenOpened: "screen-opened",
    ScreenClosed: "screen-closed",
}

_OF_THE_REMOTE = EventRule(ONCE_A_MINUTE, is_refusal=True, by=("code", "message"))
"""What a remote can cause as often as it likes, alone."""
_RULES: dict[str, EventRule] = {
    # Apart from what the person wished: a remote that empties its reader without end hides no ejection by hand.
    NAMES[Ejected]: EventRule(BY_PEOPLE, by=("wished",)),
    NAMES[KeyUsed]: EventRule(BY_KEYS),
    NAMES[PinAsked]: EventRule(BY_PEOPLE, by=("entry", "outcome")),
    NAMES[Refused]: _OF_THE_REMOTE,
    NAMES[TooMany]: _OF_THE_REMOTE,
    NAMES[Flooded]: EventRule(ONCE_A_MINUTE, is_refusal=True, weight="refused"),
    NAMES[CardBusy]: _OF_THE_REMOTE,
}


def rule_for(event: str, facts: Mapping[str, Fact]) -> EventRule:
    """Where an event of this name goes, and how often; one that is not in the table has a person behind it.

    Even there the quota holds: a remote can cut the link, empty its reader, and type PINs of its own.
    """
    if event == NAMES[Refused] and facts.get("code") == BY_PERSON:
        return EventRule(BY_PEOPLE)
    return _RULES.get(event, EventRule(BY_PEOPLE))


def _facts(event: Event) -> dict[str, str | int]:
    """What there is to tell of the event, in the forms that a record has."""
    if isinstance(event, KeyUsed):
        return _fields_of_use(event)
    if isinstance(event, PinAsked):
        return {"entry": "typed" if event.typed else "pad", "outcome": str(event.outcome)}
    if isinstance(event, LinkLost):
        return {"reason": event.reason}
    return {
        name: f"{value:02X}" if isinstance(value, Slot) else str(value) if name == "code" else value
        for name, value in vars(event).items()
        if name not in OF_ALL
    }


def _fields_of_use(event: KeyUsed) -> dict[str, str | int]:
    return {
        "slot": f"{event.slot:02X}",
        "operation": str(event.operation),
        "hash": event.hash_name,
        "digest": event.digest.hex(),
        "milliseconds": round(event.milliseconds),
    }
