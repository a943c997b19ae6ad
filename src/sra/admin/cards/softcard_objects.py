"""The data objects of a software card, made from its file."""

from __future__ import annotations

from sra.admin.cards.key_algorithms import algorithm_of
from sra.admin.cards.pin_policies import pin_policy
from sra.admin.cards.softcard_file import CardFile, StoredKey, damaged
from sra.errors import CardError
from sra.piv import objects
from sra.piv.certificates import build_certificate
from sra.piv.keys import KeyDescription, Slot
from sra.piv.objects import CERTIFICATES, CardContents, KeyHistory


def describe(name: str, file: CardFile) -> CardContents:
    """What the card lets everybody read; raise ``CardError`` if a certificate does not fit its key."""
    for key in file.keys:
        _check(name, key)
    common = {
        objects.CHUID: objects.build_chuid(file.guid),
        objects.CARD_CAPABILITY_CONTAINER: objects.build_card_capability_container(file.guid),
        objects.DISCOVERY: objects.build_discovery(),
        objects.KEY_HISTORY: objects.build_key_history(KeyHistory(on_card=_last_retired(file))),
    }
    certificates = {CERTIFICATES[key.slot]: build_certificate(key.certificate) for key in file.keys}
    described = tuple(KeyDescription(key.slot, key.algorithm, pin_policy(key.slot)) for key in file.keys)
    return CardContents(objects=common | certificates, keys=described)


def _check(name: str, key: StoredKey) -> None:
    try:
        fits = algorithm_of(key.certificate) is key.algorithm
    except CardError as error:
        raise damaged(name) from error
    if not fits:
        raise damaged(name)


def _last_retired(file: CardFile) -> int:
    """A count that reaches the last retired key: programs look from 82 on, and no further than the history says."""
    return max((key.slot - Slot.RETIRED_1 + 1 for key in file.keys if key.slot.is_retired), default=0)
