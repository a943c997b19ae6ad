"""What this remote keeps of each event: who can cause it decides where it stands, and how often (``sra.ledger``)."""

from __future__ import annotations

from collections.abc import Mapping

from sra.audit import Fact
from sra.ledger import BY_KEYS, BY_PEOPLE, ONCE_A_MINUTE, EventRule

_OF_A_CARD = EventRule(BY_PEOPLE, origin="key")
_OF_A_STRANGER = EventRule(ONCE_A_MINUTE, is_refusal=True, by=("code",), origin="address")
_REFUSED = EventRule(ONCE_A_MINUTE, is_refusal=True, by=("code", "message"), origin="key")

RULES: dict[str, EventRule] = {
    "authenticated": _OF_A_CARD,
    "disconnected": _OF_A_CARD,
    "inserted": _OF_A_CARD,
    "ejected": _OF_A_CARD,
    "key-use": EventRule(BY_KEYS, origin="key"),
    "pin": EventRule(BY_PEOPLE, by=("entry", "outcome"), origin="key"),
    "screen-granted": _OF_A_CARD,
    "screen-started": _OF_A_CARD,
    "screen-ended": _OF_A_CARD,
    "refused": _OF_A_STRANGER,
    "screen-ticket-refused": _OF_A_STRANGER,
    "screen-refused": _REFUSED,
    "too-many": _REFUSED,
}
_OUTCOMES = ("done", "verified", "wrong")
"""Of a key use or a PIN question that the card or the person answered; any other was refused, failed or given up."""
_NOT_DONE = EventRule(ONCE_A_MINUTE, is_refusal=True, by=("outcome", "slot", "entry"), origin="key")


def rule_for(event: str, facts: Mapping[str, Fact]) -> EventRule:
    """The rule; an event without one is written as if a person had caused it."""
    if event in ("key-use", "pin") and facts.get("outcome") not in _OUTCOMES:
        return _NOT_DONE
    return RULES.get(event, EventRule(BY_PEOPLE))
