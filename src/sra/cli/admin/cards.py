"""``sra cards``: which cards are there, and what is wrong with each."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from sra.cards.base import Card, CardBackend, CardListing
from sra.cards.pcsc.backend import PcscBackend
from sra.cards.software.backend import SoftwareBackend
from sra.cli.console.options import AsJson, ConfigDir, examples
from sra.cli.console.output import print_json, print_note, print_table
from sra.config import AdminConfig, load_admin_config
from sra.errors import NoReaderError, UsageError
from sra.paths import admin_paths

EXAMPLES = examples("sra cards", "sra cards --json")


def default_cards_dir() -> Path:
    """Where a person's software cards are."""
    return platformdirs.user_data_path("sra") / "softcards"


CardsDir = Annotated[
    Path,
    typer.Option(
        "--cards-dir",
        metavar="DIR",
        file_okay=False,
        default_factory=default_cards_dir,
        show_default="in your data folder",
        help="The folder of the software cards.",
    ),
]
"""The parameter of every command that knows software cards."""


Modules = Annotated[
    list[Path] | None,
    typer.Option("--module", metavar="FILE", help="Use the cards behind this PKCS#11 module too; may be repeated."),
]
"""The parameter of every command that uses a card."""

PKCS11_PREFIX = "pkcs11:"


def chosen_modules(config: AdminConfig, given: Sequence[Path] | None) -> list[Path]:
    """The PKCS#11 modules of the settings and of the command line."""
    return [*map(Path, config.pkcs11_modules), *(given or ())]


def card_backends(
    cards_dir: Path, modules: Sequence[Path] = (), notice: Callable[[str], None] = print_note
) -> dict[str, CardBackend]:
    """Every kind of card, by what its names begin with; ``notice`` tells the person what a card waits for."""
    return {
        "software:": SoftwareBackend(cards_dir),
        "pcsc:": PcscBackend(notice=notice),
        PKCS11_PREFIX: _pkcs11_backend(modules),
    }


def cards(cards_dir: CardsDir, module: Modules = None, config_dir: ConfigDir = None, as_json: AsJson = False) -> None:
    """List the cards of this machine, and say what is wrong with those that can't be used."""
    config = load_admin_config(admin_paths(config_dir, os.environ).config)
    listings = asyncio.run(find_cards(card_backends(cards_dir, chosen_modules(config, module))))
    if as_json:
        print_json(listings)
    else:
        print_table(("card", "description", "problem"), [_row(card) for card in listings])


class _NoModules:
    """The cards behind PKCS#11 modules, where there are no modules."""

    async def find(self) -> list[CardListing]:
        return []

    async def open(self, name: str) -> Card:
        raise UsageError(
            f"{name!r} is behind a PKCS#11 module: name it with --module FILE, or as pkcs11_modules in config.toml."
        )


def _pkcs11_backend(modules: Sequence[Path]) -> CardBackend:
    """Loaded only where it is used: most people have no such module, and the library takes its time."""
    if not modules:
        return _NoModules()
    backend: CardBackend = importlib.import_module("sra.cards.pkcs11.backend").Pkcs11Backend(modules)
    return backend


async def find_cards(backends: dict[str, CardBackend]) -> list[CardListing]:
    """What all the backends find; a backend that can't have any card now is listed by its prefix, with the reason."""
    found = await asyncio.gather(*(_find(prefix, backend) for prefix, backend in backends.items()))
    return [listing for listings in found for listing in listings]


async def _find(prefix: str, backend: CardBackend) -> list[CardListing]:
    try:
        return await backend.find()
    except NoReaderError as error:
        return [CardListing(prefix, "cards in readers", str(error))]


def _row(card: CardListing) -> tuple[str, str, str]:
    return card.name, card.description, card.problem or "ready"
