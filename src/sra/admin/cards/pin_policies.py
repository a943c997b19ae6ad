"""When a card's keys want the PIN, where the card itself does not say."""

from __future__ import annotations

from sra.piv.keys import PinPolicy, Slot

_POLICIES = {Slot.SIGNATURE: PinPolicy.ALWAYS, Slot.CARD_AUTHENTICATION: PinPolicy.NEVER}


def pin_policy(slot: Slot) -> PinPolicy:
    """The security condition of the slot's key (SP 800-73-4 part 1, table 4b)."""
    return _POLICIES.get(slot, PinPolicy.ONCE)
