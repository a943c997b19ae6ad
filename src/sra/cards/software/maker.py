"""Making a software card."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass

from sra.cards.pin_policies import check_new_pin, pin_policy
from sra.cards.software import card_certificates as certificates
from sra.cards.software import software_keys as keys
from sra.cards.software import vault
from sra.cards.software.file import CardFile, StoredKey
from sra.cards.software.pin import set_codes
from sra.errors import CardError
from sra.piv.keys import Algorithm, PinPolicy, Slot

_PUK_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without 0, O, 1 and I, which people take for one another: 40 bits in 8 characters."""


@dataclass(frozen=True)
class CardOrder:
    """The card that is wanted; without an ``issuer`` its certificates are self-signed."""

    algorithms: dict[Slot, Algorithm]
    holder: certificates.CardHolder
    issuer: certificates.Issuer | None
    valid: certificates.Validity


def new_puk() -> bytes:
    """A random PUK of 8 characters."""
    return "".join(secrets.choice(_PUK_LETTERS) for _ in range(8)).encode()


def make(order: CardOrder, pin: bytes, puk: bytes) -> CardFile:
    """A new card with a random GUID; raise ``UsageError`` for a PIN that can't be one. Blocks for up to seconds."""
    check_new_pin(pin)
    guid, secret = uuid.uuid4().bytes, vault.new_secret()
    wanted = sorted(order.algorithms.items())
    made = tuple(_make_key(slot, algorithm, order, guid, secret) for slot, algorithm in wanted)
    pin_code, puk_code = set_codes(guid, secret, pin, puk)
    return CardFile(version=1, guid=guid, pin=pin_code, puk=puk_code, keys=made)


def open_key(stored: StoredKey, guid: bytes, secret: bytes | None) -> keys.UsableKey:
    """The key out of its seal; a key that never wants a PIN needs no ``secret``. Raise ``CardError`` if damaged."""
    private: bytes | None = stored.private
    if secret is not None and is_sealed(stored.slot):
        private = vault.unseal(secret, stored.private, _context(guid, stored.slot, stored.algorithm))
    if private is None:
        raise CardError(f"The key {stored.slot:02X} of the software card is damaged; make a new card.")
    return keys.load(stored.algorithm, private)


def is_sealed(slot: Slot) -> bool:
    """Whether the slot's key is kept under the card secret: 9E, which works without a PIN, can't be."""
    return pin_policy(slot) is not PinPolicy.NEVER


def _make_key(slot: Slot, algorithm: Algorithm, order: CardOrder, guid: bytes, secret: bytes) -> StoredKey:
    private = keys.generate(algorithm)
    certificate = certificates.issue(slot, private, order.holder, order.issuer, order.valid)
    encoded = keys.encode(private)
    kept = vault.seal(secret, encoded, _context(guid, slot, algorithm)) if is_sealed(slot) else encoded
    return StoredKey(slot, algorithm, certificate, kept)


def _context(guid: bytes, slot: Slot, algorithm: Algorithm) -> bytes:
    """What a sealed key is bound to, so that keys can't change places."""
    return guid + bytes([slot, algorithm])
