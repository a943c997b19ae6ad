"""Which card a command works with."""

from __future__ import annotations

from collections.abc import Mapping

from sra.cards.base import Card, CardBackend
from sra.cli.admin.cards import find_cards
from sra.errors import NoCardError, UsageError
from sra.logs import clean


async def open_card(backends: Mapping[str, CardBackend], name: str) -> Card:
    """The card of that name, as ``sra cards`` lists it; without a name, the only one that can be used."""
    chosen = name or await _only_card(backends)
    for prefix, backend in backends.items():
        if chosen.startswith(prefix):
            return await backend.open(chosen)
    raise UsageError(f"“{clean(chosen)}” is no card's name. “sra cards” shows the names.")


async def _only_card(backends: Mapping[str, CardBackend]) -> str:
    listings = await find_cards(dict(backends))
    usable = [listing.name for listing in listings if not listing.problem]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise UsageError(f"There are several cards: choose one with --card. There are: {', '.join(usable)}.")
    problems = " ".join(listing.problem for listing in listings) or "Insert one, or make one: sra softcard create NAME."
    raise NoCardError(f"There is no card to connect with. {problems}")
