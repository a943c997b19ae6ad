"""``sra cards``: which cards are there, and what is wrong with each."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from sra.cards.base import CardListing
from sra.cards.choose import card_backends, chosen_modules, default_cards_dir, find_cards
from sra.cli.console.options import AsJson, ConfigDir, examples
from sra.cli.console.output import print_json, print_note, print_table
from sra.config import load_admin_config
from sra.paths import admin_paths

EXAMPLES = examples("sra cards", "sra cards --json")


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


def cards(cards_dir: CardsDir, module: Modules = None, config_dir: ConfigDir = None, as_json: AsJson = False) -> None:
    """List the cards of this machine, and say what is wrong with those that can't be used."""
    config = load_admin_config(admin_paths(config_dir, os.environ).config)
    backends = card_backends(cards_dir, chosen_modules(config.pkcs11_modules, module), print_note)
    listings = asyncio.run(find_cards(backends))
    if as_json:
        print_json(listings)
    else:
        print_table(("card", "description", "problem"), [_row(card) for card in listings])


def _row(card: CardListing) -> tuple[str, str, str]:
    return card.name, card.description, card.problem or "ready"
