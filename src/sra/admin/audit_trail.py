"""The admin's own record of what a remote did with the card."""

from __future__ import annotations

from collections.abc import Callable

from sra.admin.events import Connected, Ejected, Event, Inserted, KeyUsed, LinkLost, PinAsked, Refused, Watcher

Record = Callable[..., None]
"""``Audit.record``: an event's name, and facts by name."""


class AuditTrail:
    """Writes every event down, then passes it on."""

    def __init__(self, record: Record, remote: str, following: Watcher) -> None:
        self._record = record
        self._remote = remote
        self._following = following

    def notice(self, event: Event) -> None:
        """Write it down first: what is shown has been recorded."""
        name, facts = _describe(event)
        self._record(name, remote=self._remote, **facts)
        self._following.notice(event)


def _describe(event: Event) -> tuple[str, dict[str, str | int]]:
    match event:
        case Connected(account, host):
            return "connected", {"account": account, "host": host}
        case Inserted(reader):
            return "inserted", {"reader": reader}
        case Ejected(reason):
            return "ejected", {"reason": reason}
        case KeyUsed(slot, operation, hash_name, digest, milliseconds):
            facts: dict[str, str | int] = {"slot": f"{slot:02X}", "operation": str(operation), "hash": hash_name}
            return "key-use", facts | {"digest": digest.hex(), "milliseconds": round(milliseconds)}
        case PinAsked(typed, outcome):
            return "pin", {"entry": "typed" if typed else "pad", "outcome": str(outcome)}
        case Refused(what, reason):
            return "refused", {"what": what, "reason": reason}
        case LinkLost(reason):
            return "link-lost", {"reason": reason}
