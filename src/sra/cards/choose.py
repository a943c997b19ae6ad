"""Every way to a card: which cards there are, and which one is meant."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import platformdirs

from sra.cards.base import Card, CardBackend, CardListing
from sra.cards.pcsc.backend import PcscBackend
from sra.cards.pcsc.pcsc_session import Notice
from sra.cards.software.backend import SoftwareBackend
from sra.errors import NoCardError, NoReaderError, UsageError
from sra.logs import clean

PKCS11_PREFIX = "pkcs11:"


def default_cards_dir() -> Path:
    """The folder of the user's software cards."""
    return platformdirs.user_data_path("sra") / "softcards"


def chosen_modules(configured: Sequence[str], given: Sequence[Path] | None) -> list[Path]:
    """The PKCS#11 modules of the settings and of the command line."""
    return [*map(Path, configured), *(given or ())]


def card_backends(
    cards_dir: Path, modules: Sequence[Path] = (), notice: Notice = lambda _: None
) -> dict[str, CardBackend]:
    """Every kind of card, by what its names begin with; ``notice`` tells the user what a card waits for."""
    return {
        "software:": SoftwareBackend(cards_dir),
        "pcsc:": PcscBackend(notice=notice),
        # Loaded only where it is used: most people have no such module, and the library takes its time.
        PKCS11_PREFIX: importlib.import_module("sra.cards.pkcs11.backend").Pkcs11Backend(modules)
        if modules
        else NoModules(),
    }


class NoModules:
    """The cards behind PKCS#11 modules, where there are no modules (``base.CardBackend``)."""

    async def find(self) -> list[CardListing]:
        """None."""
        return []

    async def open(self, name: str) -> Card:
        """Raise ``UsageError``."""
        raise UsageError(
            f"{name!r} is behind a PKCS#11 module: name it with --module FILE, or as pkcs11_modules in config.toml."
        )


async def find_cards(backends: Mapping[str, CardBackend]) -> list[CardListing]:
    """What all the backends find; a backend that can't have any card now is listed by its prefix, with the reason."""

    async def find(prefix: str, backend: CardBackend) -> list[CardListing]:
        try:
            return await backend.find()
        except NoReaderError as error:
            return [CardListing(prefix, "cards in readers", str(error))]

    found = await asyncio.gather(*(find(prefix, backend) for prefix, backend in backends.items()))
    return [listing for listings in found for listing in listings]


async def open_card(backends: Mapping[str, CardBackend], name: str) -> Card:
    """The card of that name, as ``sra cards`` lists it; without a name, the only one that can be used."""
    chosen = name or await _only_card(backends)
    for prefix, backend in backends.items():
        if chosen.startswith(prefix):
            return await backend.open(chosen)
    raise UsageError(f"“{clean(chosen)}” is no card's name. “sra cards” shows the names.")


async def _only_card(backends: Mapping[str, CardBackend]) -> str:
    listings = await find_cards(backends)
    usable = [listing.name for listing in listings if not listing.problem]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise UsageError(f"There are several cards: choose one with --card. There are: {', '.join(usable)}.")
    problems = " ".join(listing.problem for listing in listings) or "Insert one, or make one: sra softcard create NAME."
    raise NoCardError(f"There is no card to connect with. {problems}")
