"""Everything on a PIV card that the product has a use for, read once."""

from __future__ import annotations

from dataclasses import dataclass

from sra.cards.pcsc.piv import PcscPivApplication
from sra.cards.piv_defaults import algorithm_of, pin_policy
from sra.errors import CardError
from sra.piv import tlv
from sra.piv.apdu import Status
from sra.piv.keys import KeyDescription, PinPolicy, Slot
from sra.piv.objects import (
    CARD_CAPABILITY_CONTAINER,
    CERTIFICATES,
    CHUID,
    DISCOVERY,
    KEY_HISTORY,
    CardContents,
    KeyHistory,
    certificate_in,
    parse_key_history,
)

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


_COMMON = (DISCOVERY, CARD_CAPABILITY_CONTAINER, CHUID, KEY_HISTORY)
"""Never biometrics, printed information or the security object: they are the holder's, not a login's."""

_ACTIVE = tuple(slot for slot in CERTIFICATES if not slot.is_retired)


@dataclass(frozen=True)
class PcscContents:
    """Everything readable, and the keys that want to be touched."""

    contents: CardContents
    touched: frozenset[Slot] = frozenset()


def read_card(piv: PcscPivApplication) -> PcscContents:
    """The card's objects, as they are, and its keys; absent objects are left out. Raise ``CardError``."""
    metadata = read_metadata(piv)
    common = _read(piv, _COMMON)
    try:  # the retired keys that the key history counts (SP 800-73-4 part 1, section 3.3.3)
        history = parse_key_history(common[KEY_HISTORY]) if KEY_HISTORY in common else KeyHistory(0)
    except CardError:
        history = KeyHistory(0)
    counted = (Slot(Slot.RETIRED_1 + number) for number in range(history.on_card + history.off_card))
    slots = (*_ACTIVE, *sorted({*counted, *filter(lambda slot: slot.is_retired, metadata)}))
    certificates = _read(piv, tuple(CERTIFICATES[slot] for slot in slots))
    found = (_describe(slot, certificates.get(CERTIFICATES[slot]), metadata.get(slot)) for slot in slots)
    contents = CardContents(objects=common | certificates, keys=tuple(key for key in found if key))
    return PcscContents(contents, frozenset(slot for slot, told in metadata.items() if told.wants_touch))


def _read(piv: PcscPivApplication, tags: tuple[int, ...]) -> dict[int, bytes]:
    found = ((tag, piv.read(tag)) for tag in tags)
    return {tag: content for tag, content in found if content is not None}


def _describe(slot: Slot, container: bytes | None, metadata: KeyMetadata | None) -> KeyDescription | None:
    """The slot's key, known from its certificate; ``None`` without one, or with one that can't be used."""
    if container is None:
        return None
    try:
        algorithm = algorithm_of(certificate_in(container))
    except CardError:
        return None
    policy = metadata.pin_policy if metadata else pin_policy(slot)
    return KeyDescription(slot, algorithm, policy) if algorithm else None
