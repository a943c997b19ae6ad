"""The admin's own record of what a remote did with the card."""

from __future__ import annotations

from collections.abc import Callable

from sra.admin.events import (
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
    Watcher,
    Withheld,
)
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
    LinkLost: "link-lost",
    RealPinTyped: "real-pin-typed",
    CodeClosed: "code-closed",
    CardWaits: "card-waits",
    Paused: "paused",
    ScreenRecorded: "screen-is-recorded",
    ScreenOpened: "screen-opened",
    ScreenClosed: "screen-closed",
}


def _facts(event: Event) -> dict[str, str | int]:
    """What there is to tell of the event, in the forms that a record has."""
    if isinstance(event, KeyUsed):
        return _fields_of_use(event)
    if isinstance(event, PinAsked):
        return {"entry": "typed" if event.typed else "pad", "outcome": str(event.outcome)}
    if isinstance(event, LinkLost):
        return {"reason": event.reason}
    return {
        name: f"{value:02X}" if isinstance(value, Slot) else value
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
