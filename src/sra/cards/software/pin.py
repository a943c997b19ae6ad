"""The PIN and the PUK of a software card, and the tries that are left.

A try is written off, on the disk, before the code is checked: whoever kills the process in between has lost it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from sra.cards.pin_policies import check_new_pin
from sra.cards.software import vault
from sra.cards.software.file import MAX_TRIES, CardFile, CardFolder, StoredCode
from sra.errors import (
    CardError,
    CardRemovedError,
    PinBlockedError,
    PinWrongError,
    PukBlockedError,
    PukWrongError,
)

_Code = Literal["pin", "puk"]

_ERRORS: dict[_Code, tuple[Callable[[int], CardError], Callable[[], CardError]]] = {
    "pin": (PinWrongError, PinBlockedError),
    "puk": (PukWrongError, PukBlockedError),
}
"""Wrong, with the tries left; and blocked."""


def set_codes(guid: bytes, secret: bytes, pin: bytes, puk: bytes) -> tuple[StoredCode, StoredCode]:
    """The card secret under a PIN and under a PUK, with all their tries. Takes 180 ms."""
    return StoredCode(vault.seal_under_code(pin, secret, guid)), StoredCode(vault.seal_under_code(puk, secret, guid))


def open_with_pin(folder: CardFolder, name: str, guid: bytes, pin: bytes) -> bytes:
    """The secret of the card with that GUID; raise ``PinWrongError``, ``PinBlockedError`` or ``CardError``."""
    with folder.locked():
        return _spend_try(folder, name, _same_card(folder, name, guid), "pin", pin)


def change_pin(folder: CardFolder, name: str, guid: bytes, old: bytes, new: bytes) -> None:
    """Set another PIN; raise like ``open_with_pin`` where the old one is not right, ``UsageError`` for the new one."""
    _set_pin(folder, name, guid, "pin", old, new)


def unblock_pin(folder: CardFolder, name: str, guid: bytes, puk: bytes, new: bytes) -> None:
    """Set a new PIN by the PUK; raise ``PukWrongError`` or ``PukBlockedError`` where that is not right."""
    _set_pin(folder, name, guid, "puk", puk, new)


def _set_pin(folder: CardFolder, name: str, guid: bytes, which: _Code, code: bytes, new: bytes) -> None:
    """Set the PIN with all its tries, if the code is right."""
    check_new_pin(new)
    with folder.locked():
        secret = _spend_try(folder, name, _same_card(folder, name, guid), which, code)
        pin = StoredCode(vault.seal_under_code(new, secret, guid))
        folder.replace(name, msgspec.structs.replace(folder.read(name), pin=pin))


def _same_card(folder: CardFolder, name: str, guid: bytes) -> CardFile:
    card = folder.read(name)
    if card.guid != guid:
        raise CardRemovedError(f"The software card {name!r} is another one now; connect to it again.")
    return card


def _spend_try(folder: CardFolder, name: str, card: CardFile, which: _Code, code: bytes) -> bytes:
    stored: StoredCode = getattr(card, which)
    wrong, blocked = _ERRORS[which]
    if stored.tries == 0:
        raise blocked()
    _set_tries(folder, name, card, which, stored.tries - 1)
    secret = vault.unseal_under_code(code, stored.sealed, card.guid)
    if secret is None:
        raise wrong(stored.tries - 1) if stored.tries > 1 else blocked()
    _set_tries(folder, name, card, which, MAX_TRIES)
    return secret


def _set_tries(folder: CardFolder, name: str, card: CardFile, which: _Code, tries: int) -> None:
    code: StoredCode = getattr(card, which)
    changed = {which: msgspec.structs.replace(code, tries=tries)}
    folder.replace(name, msgspec.structs.replace(card, **changed))
