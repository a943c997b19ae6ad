"""``sra cards``: which cards are there, and what is wrong with each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from sra.admin.cards.base import CardBackend, CardListing
from sra.admin.cards.pcsc import PcscBackend
from sra.admin.cards.software import SoftwareBackend
from sra.cli.options import AsJson
from sra.cli.output import print_json, print_table
from sra.errors import NoReaderError


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


def card_backends(cards_dir: Path) -> dict[str, CardBackend]:
    """Every kind of card, by what its names begin with."""
    return {"software:": SoftwareBackend(cards_dir), "pcsc:": PcscBackend()}


def cards(
    cards_dir: CardsDir,
    as_json: AsJson = False,
) -> None:
    """List the cards of this machine, and say what is wrong with those that can't be used."""
    listings = asyncio.run(find_cards(card_backends(cards_dir)))
    if as_json:
        print_json(listings)
    else:
        print_table(("card", "description", "problem"), [_row(card) for card in listings])


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
