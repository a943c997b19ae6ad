"""The data objects of a software card, made from its file."""

from __future__ import annotations

from sra.cards.key_algorithms import algorithm_of
from sra.cards.pin_policies import pin_policy
from sra.cards.software.file import CardFile, StoredKey, damaged
from sra.errors import CardError
from sra.piv.contents import build_contents
from sra.piv.keys import KeyDescription
from sra.piv.objects import CardContents


def describe(name: str, file: CardFile) -> CardContents:
    """What the card lets everybody read; raise ``CardError`` if a certificate does not fit its key."""
    for key in file.keys:
        _check(name, key)
    described = tuple(KeyDescription(key.slot, key.algorithm, pin_policy(key.slot)) for key in file.keys)
    return build_contents(file.guid, described, {key.slot: key.certificate for key in file.keys})


def _check(name: str, key: StoredKey) -> None:
    try:
        fits = algorithm_of(key.certificate) is key.algorithm
    except CardError as error:
        raise damaged(name) from error
    if not fits:
        raise damaged(name)
