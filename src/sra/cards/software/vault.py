"""How the keys of a software card are kept: under a card secret, which is kept under the PIN and the PUK.

Only ``cryptography``'s scrypt and AES-256-GCM. A thief of the file can guess a PIN of six digits: a million tries of
the scrypt below are a day of one processor. The file's rights protect it first, the PIN second.

A try is written off, on the disk, before the code is checked: killing the process in between gives no try back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sra.cards.piv_defaults import check_new_pin, pin_policy
from sra.cards.software.file import MAX_TRIES, CardFile, CardFolder, StoredCode, StoredKey
from sra.cards.software.software_keys import UsableKey, load
from sra.errors import (
    CardError,
    CardRemovedError,
    PinBlockedError,
    PinWrongError,
    PukBlockedError,
    PukWrongError,
)
from sra.piv.keys import PinPolicy, Slot

SECRET_SIZE = 32
"""Bytes of the card secret: an AES-256 key."""

_SALT_SIZE = 16
_NONCE_SIZE = 12
"""Bytes of AES-GCM's nonce (SP 800-38D, section 8.2.2: random)."""

_SCRYPT_N = 2**15
"""32 MiB and 90 ms a guess on a 2023 server core: twice that would be felt at every PIN, half would help the thief."""


def new_secret() -> bytes:
    """A fresh card secret."""
    return secrets.token_bytes(SECRET_SIZE)


def seal(secret: bytes, content: bytes, context: bytes) -> bytes:
    """``content`` encrypted under ``secret`` and bound to ``context``: nonce, then AES-GCM's output."""
    nonce = secrets.token_bytes(_NONCE_SIZE)
    return nonce + AESGCM(secret).encrypt(nonce, content, context)


def unseal(secret: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """What ``seal`` was given; ``None`` if the secret or the context is another one, or the bytes were changed."""
    try:
        return AESGCM(secret).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], context)
    except (InvalidTag, ValueError):
        return None


def seal_under_code(code: bytes, secret: bytes, context: bytes) -> bytes:
    """The card secret encrypted under a PIN or PUK: salt, nonce, AES-GCM's output. Takes about 90 ms."""
    salt = secrets.token_bytes(_SALT_SIZE)
    return salt + seal(_stretch(code, salt), secret, context)


def unseal_under_code(code: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """The card secret, or ``None`` if the PIN or PUK is wrong. Takes about 90 ms."""
    return unseal(_stretch(code, sealed[:_SALT_SIZE]), sealed[_SALT_SIZE:], context)


def _stretch(code: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=SECRET_SIZE, n=_SCRYPT_N, r=8, p=1).derive(code)


def seal_key(stored: StoredKey, guid: bytes, secret: bytes) -> StoredKey:
    """The key with its private part under the card secret, unless it never wants a PIN."""
    if not is_sealed(stored.slot):
        return stored
    return msgspec.structs.replace(stored, private=seal(secret, stored.private, _context(stored, guid)))


def open_key(stored: StoredKey, guid: bytes, secret: bytes | None) -> UsableKey:
    """The key out of its seal; a key that never wants a PIN needs no ``secret``. Raise ``CardError`` if damaged."""
    private: bytes | None = stored.private
    if secret is not None and is_sealed(stored.slot):
        private = unseal(secret, stored.private, _context(stored, guid))
    if private is None:
        raise CardError(f"The key {stored.slot:02X} of the software card is damaged; make a new card.")
    return load(stored.algorithm, private)


def is_sealed(slot: Slot) -> bool:
    """Whether the slot's key is kept under the card secret: 9E, which works without a PIN, can't be."""
    return pin_policy(slot) is not PinPolicy.NEVER


def _context(stored: StoredKey, guid: bytes) -> bytes:
    """What a sealed key is bound to, so that a thief of the file can't have one key stand in for another."""
    return guid + bytes([stored.slot, stored.algorithm])


_Code = Literal["pin", "puk"]

_ERRORS: dict[_Code, tuple[Callable[[int], CardError], Callable[[], CardError]]] = {
    "pin": (PinWrongError, PinBlockedError),
    "puk": (PukWrongError, PukBlockedError),
}
"""Wrong, with the tries left; and blocked."""


def set_codes(guid: bytes, secret: bytes, pin: bytes, puk: bytes) -> tuple[StoredCode, StoredCode]:
    """The card secret under a PIN and under a PUK, with all their tries. Takes 180 ms."""
    return StoredCode(seal_under_code(pin, secret, guid)), StoredCode(seal_under_code(puk, secret, guid))


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
        pin = StoredCode(seal_under_code(new, secret, guid))
        folder.replace(name, msgspec.structs.replace(folder.read(name), pin=pin))


def _same_card(folder: CardFolder, name: str, guid: bytes) -> CardFile:
    card = folder.read(name)
    if card.guid != guid:
        raise CardRemovedError(f"The software card {name!r} is another one now; connect to it again.")
    return card


def _spend_try(folder: CardFolder, name: str, card: CardFile, which: _Code, code: bytes) -> bytes:
    """The card secret, for one try of the code; the caller holds the lock, so no other process tries meanwhile."""
    stored: StoredCode = getattr(card, which)
    wrong, blocked = _ERRORS[which]
    if stored.tries == 0:
        raise blocked()
    # Before the code is looked at: a process that is killed in between has paid for its answer.
    _set_tries(folder, name, card, which, stored.tries - 1)
    secret = unseal_under_code(code, stored.sealed, card.guid)
    if secret is None:
        raise wrong(stored.tries - 1) if stored.tries > 1 else blocked()
    _set_tries(folder, name, card, which, MAX_TRIES)
    return secret


def _set_tries(folder: CardFolder, name: str, card: CardFile, which: _Code, tries: int) -> None:
    """Write the card with that many tries left; on a full disk this raises, and no code is checked."""
    code: StoredCode = getattr(card, which)
    changed = {which: msgspec.structs.replace(code, tries=tries)}
    folder.replace(name, msgspec.structs.replace(card, **changed))
