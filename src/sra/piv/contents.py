"""What may be read of a card: made for a card that has no objects of its own, and cut down to what is inserted.

No I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sra.errors import CardError
from sra.piv import objects
from sra.piv.keys import KeyDescription, Slot
from sra.piv.objects import CERTIFICATES, CardContents, KeyHistory


def build_contents(guid: bytes, keys: tuple[KeyDescription, ...], certificates: Mapping[Slot, bytes]) -> CardContents:
    """What may be read of a PIV card with this GUID (16 bytes), these keys and their certificates (DER)."""
    common = {
        objects.CHUID: objects.build_chuid(guid),
        objects.CARD_CAPABILITY_CONTAINER: objects.build_card_capability_container(guid),
        objects.DISCOVERY: objects.build_discovery(),
        objects.KEY_HISTORY: objects.build_key_history(KeyHistory(on_card=_last_retired(keys))),
    }
    containers = {CERTIFICATES[slot]: objects.build_certificate(der) for slot, der in certificates.items()}
    return CardContents(objects=common | containers, keys=keys)


def contents_to_insert(contents: CardContents, slots: Collection[Slot], guid: bytes) -> CardContents:
    """What a remote gets to see: the keys of ``slots`` that have a readable certificate, and what goes with them.

    Everything else stays away: other slots, biometrics, printed information, the security object, what the standard
    does not know. ``guid`` (16 bytes, always the same for the same card) is used only where the card has none.
    """
    keys = tuple(key for key in contents.keys if key.slot in slots and _has_certificate(contents, key.slot))
    chuid = contents.objects.get(objects.CHUID, b"")
    identity = objects.guid_of(chuid)
    if identity is None:
        identity, chuid = guid, objects.build_chuid(guid)
    capabilities = contents.objects.get(objects.CARD_CAPABILITY_CONTAINER, b"")
    inserted = {
        objects.CHUID: chuid,
        objects.CARD_CAPABILITY_CONTAINER: capabilities or objects.build_card_capability_container(identity),
        objects.DISCOVERY: objects.build_discovery(),
    }
    if last := _last_retired(keys):
        inserted[objects.KEY_HISTORY] = objects.build_key_history(KeyHistory(on_card=last))
    inserted |= {CERTIFICATES[key.slot]: contents.objects[CERTIFICATES[key.slot]] for key in keys}
    return CardContents(objects=inserted, keys=keys)


def _has_certificate(contents: CardContents, slot: Slot) -> bool:
    try:
        return bool(objects.certificate_in(contents.objects.get(CERTIFICATES[slot], b"")))
    except CardError:
        return False


def _last_retired(keys: tuple[KeyDescription, ...]) -> int:
    """A count that reaches the last retired key: programs look from 82 on, and no further than the history says."""
    return max((key.slot - Slot.RETIRED_1 + 1 for key in keys if key.slot.is_retired), default=0)


def describe_keys(keys: tuple[KeyDescription, ...]) -> str:
    """The keys, for the user: ``9A RSA_2048, 9C P256``."""
    return ", ".join(f"{key.slot:02X} {key.algorithm.name}" for key in keys)
