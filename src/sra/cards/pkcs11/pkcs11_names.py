"""What a card behind a PKCS#11 module is called: ``pkcs11:LABEL[#SERIAL][/SLOT=ID,...]``. No I/O.

The serial number tells cards with the same label apart. Slots that are named get the keys with these CKA_IDs
(hexadecimal), and nothing else is presented; without any, ``pkcs11_slots`` chooses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sra.errors import UsageError
from sra.piv.keys import Slot

PREFIX = "pkcs11:"

_CHOICE = re.compile(r"/((?:[0-9A-Fa-f]{2}=(?:[0-9A-Fa-f]{2})+)(?:,[0-9A-Fa-f]{2}=(?:[0-9A-Fa-f]{2})+)*)$")


@dataclass(frozen=True)
class Pkcs11Name:
    """A card's name taken apart; ``card`` is the label, with ``#SERIAL`` or without."""

    card: str
    chosen: dict[Slot, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        """The whole name."""
        choice = ",".join(f"{slot:02X}={key_id.hex()}" for slot, key_id in self.chosen.items())
        return f"{PREFIX}{self.card}{'/' if choice else ''}{choice}"


def parse_name(text: str) -> Pkcs11Name:
    """The name that a person has given; raise ``UsageError``."""
    if not text.startswith(PREFIX):
        raise UsageError(f"{text!r} is not the name of a card behind a PKCS#11 module; those begin with {PREFIX!r}.")
    card = text.removeprefix(PREFIX)
    found = _CHOICE.search(card)
    if found is None:
        return Pkcs11Name(card)
    pairs = [pair.split("=") for pair in found[1].split(",")]
    chosen = {_slot(slot): bytes.fromhex(key_id) for slot, key_id in pairs}
    if len(chosen) != len(pairs):
        raise UsageError("A slot is given twice in the card's name.")
    return Pkcs11Name(card[: found.start()], chosen)


def _slot(text: str) -> Slot:
    try:
        return Slot(int(text, 16))
    except ValueError as error:
        raise UsageError(f"{text!r} is no slot; those are 9A, 9C, 9D, 9E, and 82 to 95.") from error
