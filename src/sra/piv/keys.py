"""Keys of a PIV card, and the two questions that reach the real card: use a key, check a PIN.

``KeyRequest`` and ``PinRequest`` are made by the virtual card and cross every process unchanged up to the admin's
guard; the replies come back the same way.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Protocol

from msgspec import Meta, Struct

MAX_INPUT = 512
"""Bytes in or out of one key use: an RSA 4096 block."""
MAX_PIN = 8
"""Bytes of a PIN (SP 800-73-4 part 2, section 2.4.3)."""


class Slot(IntEnum):
    """Key references (SP 800-73-4 part 1, table 4b)."""

    AUTHENTICATION = 0x9A
    SIGNATURE = 0x9C
    KEY_MANAGEMENT = 0x9D
    CARD_AUTHENTICATION = 0x9E
    RETIRED_1 = 0x82
    RETIRED_2 = 0x83
    RETIRED_3 = 0x84
    RETIRED_4 = 0x85
    RETIRED_5 = 0x86
    RETIRED_6 = 0x87
    RETIRED_7 = 0x88
    RETIRED_8 = 0x89
    RETIRED_9 = 0x8A
    RETIRED_10 = 0x8B
    RETIRED_11 = 0x8C
    RETIRED_12 = 0x8D
    RETIRED_13 = 0x8E
    RETIRED_14 = 0x8F
    RETIRED_15 = 0x90
    RETIRED_16 = 0x91
    RETIRED_17 = 0x92
    RETIRED_18 = 0x93
    RETIRED_19 = 0x94
    RETIRED_20 = 0x95

    @property
    def is_retired(self) -> bool:
        """Whether this is one of the twenty retired key management keys."""
        return Slot.RETIRED_1 <= self <= Slot.RETIRED_20


class Algorithm(IntEnum):
    """Algorithm identifiers (SP 800-78-5, table 9; RSA 4096 as YubiKey 5.7 and OpenSC number it)."""

    RSA_1024 = 0x06
    RSA_2048 = 0x07
    RSA_3072 = 0x05
    RSA_4096 = 0x16
    P256 = 0x11
    P384 = 0x14

    @property
    def is_rsa(self) -> bool:
        """Whether it is an RSA algorithm (the others are elliptic curves)."""
        return self not in (Algorithm.P256, Algorithm.P384)

    @property
    def size(self) -> int:
        """Bytes of an RSA block, or of an elliptic-curve field element."""
        return _SIZES[self]


_SIZES = {
    Algorithm.RSA_1024: 128,
    Algorithm.RSA_2048: 256,
    Algorithm.RSA_3072: 384,
    Algorithm.RSA_4096: 512,
    Algorithm.P256: 32,
    Algorithm.P384: 48,
}


class Operation(StrEnum):
    """What a private key is used for."""

    SIGN = "sign"
    DECRYPT = "decrypt"
    DERIVE = "derive"


class PinPolicy(StrEnum):
    """When a key wants the PIN (SP 800-73-4 part 1, table 4b)."""

    NEVER = "never"
    ONCE = "once"
    ALWAYS = "always"


class KeyDescription(Struct, frozen=True, forbid_unknown_fields=True):
    """A private key that a card has."""

    slot: Slot
    algorithm: Algorithm
    pin_policy: PinPolicy


class KeyRequest(Struct, frozen=True, forbid_unknown_fields=True, tag="key-request"):
    """Have a private key used once.

    ``input`` is what GENERAL AUTHENTICATE carries: for RSA a block of exactly ``algorithm.size`` bytes (sign and
    decrypt are the same raw operation); for an EC signature the digest, at most ``algorithm.size`` bytes; for a
    derivation the peer's uncompressed point ``04 X Y``.
    """

    slot: Slot
    algorithm: Algorithm
    operation: Operation
    input: Annotated[bytes, Meta(max_length=MAX_INPUT)]


class KeyReply(Struct, frozen=True, forbid_unknown_fields=True, tag="key-reply"):
    """What the card answered: an RSA block, a DER ECDSA signature, or the shared secret's X coordinate."""

    output: Annotated[bytes, Meta(max_length=MAX_INPUT)]


class PinOutcome(StrEnum):
    """How a PIN question ended."""

    VERIFIED = "verified"
    WRONG = "wrong"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"


class PinRequest(Struct, frozen=True, forbid_unknown_fields=True, tag="pin-request"):
    """Have the PIN checked: the one ``typed`` on the remote, or (``None``) asked on the admin's PIN pad.

    ``typed`` is 1 to 8 bytes, without padding.
    """

    typed: Annotated[bytes, Meta(min_length=1, max_length=MAX_PIN)] | None

    def __repr__(self) -> str:
        """The kind of question only: a PIN never gets into a log."""
        return f"PinRequest({'pad' if self.typed is None else 'typed'})"


class PinReply(Struct, frozen=True, forbid_unknown_fields=True, tag="pin-reply"):
    """How the PIN question ended, and how many tries are left (0 to 15)."""

    outcome: PinOutcome
    attempts_remaining: Annotated[int, Meta(ge=0, le=15)]


class PrivateKeys(Protocol):
    """Anything that can have a private key used: a card, or a way to one."""

    async def use_key(self, request: KeyRequest) -> KeyReply:
        """Have the key used; raise ``CardError`` or ``RefusedError`` if it was not."""


class PinCheck(Protocol):
    """Anything that can have a PIN checked: a card, or the way to the user who knows it."""

    async def check_pin(self, request: PinRequest) -> PinReply:
        """Have the PIN checked; a wrong one is an outcome, not an error."""


def purpose(slot: Slot, algorithm: Algorithm) -> Operation:
    """What a slot's key may be used for (SP 800-73-4 part 1, table 4b): one thing each, nothing else."""
    if slot is not Slot.KEY_MANAGEMENT and not slot.is_retired:
        return Operation.SIGN
    return Operation.DECRYPT if algorithm.is_rsa else Operation.DERIVE
