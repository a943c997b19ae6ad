"""What a card tells of its keys beyond the standard: a YubiKey's GET METADATA, where a card answers it."""

from __future__ import annotations

from dataclasses import dataclass

from sra.cards.pcsc.piv import PcscPivApplication
from sra.cards.pin_policies import pin_policy
from sra.piv import tlv
from sra.piv.apdu import Status
from sra.piv.keys import PinPolicy, Slot

_POLICY = 0x02
"""The field with the PIN policy and the touch policy, a byte each."""

_PIN_POLICIES = {
    0x01: PinPolicy.NEVER,
    0x02: PinPolicy.ONCE,
    0x03: PinPolicy.ALWAYS,
    0x04: PinPolicy.ONCE,  # or a fingerprint
    0x05: PinPolicy.ALWAYS,
}
_TOUCHED = frozenset({0x02, 0x03})
_STRICTNESS = (PinPolicy.NEVER, PinPolicy.ONCE, PinPolicy.ALWAYS)


@dataclass(frozen=True)
class KeyMetadata:
    """When a key wants the PIN, and whether it wants to be touched. What the standard demands of its slot stays."""

    pin_policy: PinPolicy
    wants_touch: bool


def read_metadata(piv: PcscPivApplication) -> dict[Slot, KeyMetadata]:
    """The keys that the card tells of; none of a card that does not know the question, which is asked once then."""
    found: dict[Slot, KeyMetadata] = {}
    for slot in sorted(Slot, reverse=True):
        response = piv.metadata(slot)
        if response.status == Status.OK:
            found[slot] = _parse(slot, response.data)
        elif response.status != Status.REFERENCE_NOT_FOUND:
            return {}
    return found


def _parse(slot: Slot, data: bytes) -> KeyMetadata:
    usual = pin_policy(slot)
    try:
        policy = tlv.fields(data).get(_POLICY, b"")
    except tlv.TlvError:
        policy = b""
    if len(policy) != 2:
        return KeyMetadata(usual, wants_touch=False)
    told = _PIN_POLICIES.get(policy[0], usual)
    return KeyMetadata(max(usual, told, key=_STRICTNESS.index), policy[1] in _TOUCHED)
