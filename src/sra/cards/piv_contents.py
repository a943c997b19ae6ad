"""The data objects of a PIV card, for cards that have none of their own."""

from __future__ import annotations

from collections.abc import Mapping

from sra.piv import objects
from sra.piv.certificate_objects import build_certificate
from sra.piv.keys import KeyDescription, Slot
from sra.piv.objects import CERTIFICATES, CardContents, KeyHistory


def build_contents(guid: bytes, keys: tuple[KeyDescription, ...], certificates: Mapping[Slot, bytes]) -> CardContents:
    """What a PIV card with this GUID (16 bytes), these keys and their certificates (DER) lets everybody read."""
    common = {
        objects.CHUID: objects.build_chuid(guid),
        objects.CARD_CAPABILITY_CONTAINER: objects.build_card_capability_container(guid),
        objects.DISCOVERY: objects.build_discovery(),
        objects.KEY_HISTORY: objects.build_key_history(KeyHistory(on_card=_last_retired(keys))),
    }
    containers = {CERTIFICATES[slot]: build_certificate(der) for slot, der in certificates.items()}
    return CardContents(objects=common | containers, keys=keys)


def describe_keys(keys: tuple[KeyDescription, ...]) -> str:
    """The keys for a person: ``9A RSA_2048, 9C P256``."""
    return ", ".join(f"{key.slot:02X} {key.algorithm.name}" for key in keys)


def _last_retired(keys: tuple[KeyDescription, ...]) -> int:
    """A count that reaches the last retired key: programs look from 82 on, and no further than the history says."""
    return max((key.slot - Slot.RETIRED_1 + 1 for key in keys if key.slot.is_retired), default=0)
