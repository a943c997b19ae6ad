"""Everything on a PIV card that the product has a use for, read once."""

from __future__ import annotations

from dataclasses import dataclass

from sra.cards.key_algorithms import algorithm_of
from sra.cards.pcsc.metadata import KeyMetadata, read_metadata
from sra.cards.pcsc.piv import PcscPivApplication
from sra.cards.pin_policies import pin_policy
from sra.errors import CardError
from sra.piv.keys import KeyDescription, Slot
from sra.piv.objects import (
    CARD_CAPABILITY_CONTAINER,
    CERTIFICATES,
    CHUID,
    DISCOVERY,
    KEY_HISTORY,
    CardContents,
    certificate_in,
    parse_key_history,
)

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
    counted = _retired(common.get(KEY_HISTORY))
    slots = (*_ACTIVE, *sorted({*counted, *filter(lambda slot: slot.is_retired, metadata)}))
    certificates = _read(piv, tuple(CERTIFICATES[slot] for slot in slots))
    found = (_describe(slot, certificates.get(CERTIFICATES[slot]), metadata.get(slot)) for slot in slots)
    contents = CardContents(objects=common | certificates, keys=tuple(key for key in found if key))
    return PcscContents(contents, frozenset(slot for slot, told in metadata.items() if told.wants_touch))


def _read(piv: PcscPivApplication, tags: tuple[int, ...]) -> dict[int, bytes]:
    found = ((tag, piv.read(tag)) for tag in tags)
    return {tag: content for tag, content in found if content is not None}


def _retired(key_history: bytes | None) -> tuple[Slot, ...]:
    """The retired keys that the key history counts (SP 800-73-4 part 1, section 3.3.3)."""
    if key_history is None:
        return ()
    try:
        history = parse_key_history(key_history)
    except CardError:
        return ()
    return tuple(Slot(Slot.RETIRED_1 + number) for number in range(history.on_card + history.off_card))


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
