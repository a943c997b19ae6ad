"""The PIN and the PUK of a software card, and the tries that are left.

A try is written off, on the disk, before the code is checked: whoever kills the process in between has lost it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from sra.admin.cards import softcard_vault as vault
from sra.admin.cards.softcard_file import MAX_TRIES, CardFile, CardFolder, StoredCode
from sra.errors import CardRemovedError, PinBlockedError, PinWrongError, UsageError

MIN_PIN = 6
MAX_PIN = 8
"""Bytes of a PIN (SP 800-73-4 part 2, section 2.4.3) and, at most, of a PUK."""

_Code = Literal["pin", "puk"]


def check_new_pin(pin: bytes) -> None:
    """Raise ``UsageError`` unless ``pin`` may become a PIN: 6 to 8 printable ASCII characters."""
    if not MIN_PIN <= len(pin) <= MAX_PIN or not all(0x21 <= byte < 0x7F for byte in pin):
        raise UsageError("A PIN has 6 to 8 digits, or other characters without accents or spaces.")


def set_codes(guid: bytes, secret: bytes, pin: bytes, puk: bytes) -> tuple[StoredCode, StoredCode]:
    """The card secret under a PIN and under a PUK, with all their tries. Takes 180 ms."""
    return StoredCode(vault.seal_under_code(pin, secret, guid)), StoredCode(vault.seal_under_code(puk, secret, guid))


def open_with_pin(folder: CardFolder, name: str, guid: bytes, pin: bytes) -> bytes:
    """The secret of the card with that GUID; raise ``PinWrongError``, ``PinBlockedError`` or ``CardError``."""
    with folder.locked():
        card = folder.read(name)
        if card.guid != guid:
            raise CardRemovedError(f"The software card {name!r} is another one now; connect to it again.")
        return _spend_try(folder, name, card, "pin", pin)


def unblock_pin(folder: CardFolder, name: str, puk: bytes, new_pin: bytes) -> None:
    """Set a new PIN with all its tries; raise like ``open_with_pin`` where the PUK is not right."""
    check_new_pin(new_pin)
    with folder.locked():
        secret = _spend_try(folder, name, folder.read(name), "puk", puk)
        card = folder.read(name)
        pin = StoredCode(vault.seal_under_code(new_pin, secret, card.guid))
        folder.replace(name, msgspec.structs.replace(card, pin=pin))


def _spend_try(folder: CardFolder, name: str, card: CardFile, which: _Code, code: bytes) -> bytes:
    stored: StoredCode = getattr(card, which)
    if stored.tries == 0:
        raise PinBlockedError
    _set_tries(folder, name, card, which, stored.tries - 1)
    secret = vault.unseal_under_code(code, stored.sealed, card.guid)
    if secret is None:
        raise PinWrongError(stored.tries - 1) if stored.tries > 1 else PinBlockedError
    _set_tries(folder, name, card, which, MAX_TRIES)
    return secret


def _set_tries(folder: CardFolder, name: str, card: CardFile, which: _Code, tries: int) -> None:
    code: StoredCode = getattr(card, which)
    changed = {which: msgspec.structs.replace(code, tries=tries)}
    folder.replace(name, msgspec.structs.replace(card, **changed))
