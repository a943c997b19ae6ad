"""The data objects of a PIV card (SP 800-73-4 part 1, section 4 and table 3)."""

from __future__ import annotations

import msgspec

from sra.piv.keys import KeyDescription, Slot

CARD_CAPABILITY_CONTAINER = 0x5FC107
CHUID = 0x5FC102
KEY_HISTORY = 0x5FC10C
DISCOVERY = 0x7E

CERTIFICATES: dict[Slot, int] = {
    Slot.AUTHENTICATION: 0x5FC105,
    Slot.SIGNATURE: 0x5FC10A,
    Slot.KEY_MANAGEMENT: 0x5FC10B,
    Slot.CARD_AUTHENTICATION: 0x5FC101,
} | {Slot(0x82 + number): 0x5FC10D + number for number in range(20)}

MAX_OBJECT = 8192
"""Bytes of one object: a certificate container is at most 1,905 in SP 800-73-4; cards with longer chains exist."""


class CardContents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a card lets everybody read, and which keys it has.

    ``objects`` maps a data object's tag (``CHUID``, ``CERTIFICATES[...]`` ...) to what is inside its template 53
    (7E for the discovery object).
    """

    objects: dict[int, bytes]
    keys: tuple[KeyDescription, ...]
