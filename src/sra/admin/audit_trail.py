"""The admin's own record of what a remote did with the card, and how much of it is kept (``sra.ledger``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sra.admin.events import (
    BY_PERSON,
    AskedInVain,
    CardWaits,
    CodeClosed,
    Connected,
    Ejected,
    Event,
    Flooded,
    Inserted,
    KeyUsed,
    LinkLost,
    Paused,
    PinAsked,
    RealPinTyped,
    Refused,
    ScreenClosed,
    ScreenOpened,
    ScreenRecorded,
    TooMany,
    Watcher,
    Withheld,
)
from sra.audit import Fact
from sra.ledger import BY_KEYS, BY_PEOPLE, ONCE_A_MINUTE, Rule
from sra.piv.keys import Slot

Record = Callable[..., None]
"""``Audit.record``: an event's name, and facts by name."""


class AuditTrail:
    """Writes every event down, then passes it on."""

    def __init__(self, record: Record, remote: str, following: Watcher) -> None:
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
    Withheld: "withheld",
    Ejected: "ejected",
    KeyUsed: "key-use",
    PinAsked: "pin",
    Refused: "refused",
    AskedInVain: "asked-in-vain",
    Flooded: "flood",
    TooMany: "too-many",
    LinkLost: "link-lost",
    RealPinTyped: "real-pin-typed",
    CodeClosed: "code-closed",
    CardWaits: "card-waits",
    Paused: "paused",
    ScreenRecorded: "screen-is-recorded",
    ScreenOpened: "screen-opened",
    ScreenClosed: "screen-closed",
}

_OF_THE_REMOTE = Rule(ONCE_A_MINUTE, is_refusal=True, by=("code", "message"))
"""What a remote can cause as often as it likes, alone."""
_RULES: dict[str, Rule] = {
    # Apart from what the person wished: a remote that empties its reader without end hides no ejection by hand.
    NAMES[Ejected]: Rule(BY_PEOPLE, by=("wished",)),
    NAMES[KeyUsed]: Rule(BY_KEYS),
    NAMES[PinAsked]: Rule(BY_PEOPLE, by=("entry", "outcome")),
    NAMES[Refused]: _OF_THE_REMOTE,
    NAMES[TooMany]: _OF_THE_REMOTE,
    NAMES[Flooded]: Rule(ONCE_A_MINUTE, is_refusal=True, weight="refused"),
    NAMES[CardWaits]: _OF_THE_REMOTE,
}


def rule_for(event: str, facts: Mapping[str, Fact]) -> Rule:
    """Where an event of this name goes, and how often; one that is not in the table has a person behind it.

    Even there the quota holds: a remote can cut the link, empty its reader, and type PINs of its own.
    """
    if event == NAMES[Refused] and facts.get("code") == BY_PERSON:
        return Rule(BY_PEOPLE)
    return _RULES.get(event, Rule(BY_PEOPLE))


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
