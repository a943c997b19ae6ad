"""What of a card is inserted on the remote. No I/O."""

from __future__ import annotations

from collections.abc import Collection

from sra.errors import CardError
from sra.piv import objects
from sra.piv.certificate_objects import certificate_in
from sra.piv.keys import KeyDescription, Slot
from sra.piv.objects import CERTIFICATES, CardContents, KeyHistory


def contents_to_insert(contents: CardContents, slots: Collection[Slot], guid: bytes) -> CardContents:
    """What a remote gets to see: the keys of ``slots`` that have a readable certificate, and what goes with them.

    Everything else stays away: other slots, biometrics, printed information, the security object, what the standard
    does not know. ``guid`` (16 bytes, always the same for the same card) is used only where the card has none.
    """
    keys = tuple(key for key in contents.keys if key.slot in slots and _has_certificate(contents, key.slot))
    certificates = {CERTIFICATES[key.slot]: contents.objects[CERTIFICATES[key.slot]] for key in keys}
    return CardContents(objects=_common_objects(contents, guid) | _key_history(keys) | certificates, keys=keys)


def _has_certificate(contents: CardContents, slot: Slot) -> bool:
    try:
        return bool(certificate_in(contents.objects.get(CERTIFICATES[slot], b"")))
    except CardError:
        return False


def _common_objects(contents: CardContents, guid: bytes) -> dict[int, bytes]:
    """The objects that are about the whole card."""
    chuid = contents.objects.get(objects.CHUID, b"")
    identity = objects.guid_of(chuid)
    if identity is None:
        identity, chuid = guid, objects.build_chuid(guid)
    capabilities = contents.objects.get(objects.CARD_CAPABILITY_CONTAINER, b"")
    return {
        objects.CHUID: chuid,
        objects.CARD_CAPABILITY_CONTAINER: capabilities or objects.build_card_capability_container(identity),
        objects.DISCOVERY: objects.build_discovery(),
    }


def _key_history(keys: tuple[KeyDescription, ...]) -> dict[int, bytes]:
    """A count that reaches the last retired key: programs look at the slots from 82 on, and no further than it says."""
    last = max((key.slot - Slot.RETIRED_1 + 1 for key in keys if key.slot.is_retired), default=0)
    return {objects.KEY_HISTORY: objects.build_key_history(KeyHistory(on_card=last))} if last else {}
