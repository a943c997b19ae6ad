"""``sra card``: look after the PIN of a card of this machine.

Nothing here can be reached by a remote: it works on the card itself, not through a connection.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sra.cards.base import Card
from sra.cards.choose import card_backends, chosen_modules, open_card
from sra.cli.admin.cards import CardsDir, Modules
from sra.cli.console.options import ConfigDir, examples
from sra.cli.console.output import print_note
from sra.cli.console.pins import NewPinFd, PinFd, PukFd, ask_code, ask_new_pin
from sra.config import load_admin_config
from sra.errors import PinBlockedError
from sra.paths import admin_paths
from sra.system import machine

app = typer.Typer(no_args_is_help=True, help="Look after the PIN of the card in this machine.")

CardOption = Annotated[
    str, typer.Option("--card", metavar="NAME", help="The card, as “sra cards” names it, if there are several.")
]

_BLOCKED = "The card's PIN is blocked. With its PUK it can be unblocked: sra card unblock."


@dataclass(frozen=True)
class _Choice:
    """Which card, and where it is looked for."""

    name: str
    cards_dir: Path
    modules: list[Path] | None
    config_dir: Path | None

    async def open(self) -> Card:
        config = load_admin_config(admin_paths(self.config_dir, os.environ).config)
        modules = chosen_modules(config.pkcs11_modules, self.modules)
        return await open_card(card_backends(self.cards_dir, modules, print_note), self.name or config.card)


@app.command(epilog=examples("sra card verify", "sra card verify --card 'pcsc:My Reader 00 00'"))
def verify(
    card: CardOption = "",
    *,
    pin_fd: PinFd = None,
    module: Modules = None,
    cards_dir: CardsDir,
    config_dir: ConfigDir = None,
) -> None:
    """Have the card check its PIN: to know whether you remember it, and how many tries are left."""
    _with_card(_Choice(card, cards_dir, module, config_dir), lambda opened: _verify(opened, pin_fd))


@app.command("change-pin", epilog=examples("sra card change-pin", "sra card change-pin --card software:ann"))
def change_pin(
    card: CardOption = "",
    *,
    pin_fd: PinFd = None,
    new_pin_fd: NewPinFd = None,
    module: Modules = None,
    cards_dir: CardsDir,
    config_dir: ConfigDir = None,
) -> None:
    """Give the card another PIN."""
    _with_card(_Choice(card, cards_dir, module, config_dir), lambda opened: _change(opened, pin_fd, new_pin_fd))


@app.command(epilog=examples("sra card unblock", "sra card unblock --card software:ann"))
def unblock(
    card: CardOption = "",
    *,
    puk_fd: PukFd = None,
    new_pin_fd: NewPinFd = None,
    module: Modules = None,
    cards_dir: CardsDir,
    config_dir: ConfigDir = None,
) -> None:
    """Give a card whose PIN is blocked or forgotten a new one, by its PUK."""
    _with_card(_Choice(card, cards_dir, module, config_dir), lambda opened: _unblock(opened, puk_fd, new_pin_fd))


def _with_card(choice: _Choice, work: Callable[[Card], Awaitable[str]]) -> None:
    """Do something with the card, tell the person how it went, and have the card forget the PIN."""

    async def run() -> str:
        opened = await choice.open()
        try:
            return await work(opened)
        finally:
            await opened.close()

    machine.keep_memory_private()
    typer.echo(asyncio.run(run()))


async def _verify(card: Card, pin_fd: int | None) -> str:
    left = await _tries(card)
    if card.has_pin_pad and pin_fd is None:
        print_note(f"type the PIN on the reader of {card.name} ({left})")
        await card.verify_on_pad()
    else:
        await card.verify_pin(await ask_code(f"PIN of {card.name} ({left}): ", pin_fd))
    return f"The PIN of {card.name} is right."


async def _change(card: Card, pin_fd: int | None, new_pin_fd: int | None) -> str:
    left = await _tries(card)
    old = await ask_code(f"The PIN of {card.name} until now ({left}): ", pin_fd)
    await card.change_pin(old, await ask_new_pin(new_pin_fd))
    return f"The PIN of {card.name} is changed."


async def _unblock(card: Card, puk_fd: int | None, new_pin_fd: int | None) -> str:
    puk = await ask_code(f"PUK of {card.name}: ", puk_fd, "PUK")
    await card.unblock_pin(puk, await ask_new_pin(new_pin_fd))
    return f"The PIN of {card.name} is new, and has all its tries."


async def _tries(card: Card) -> str:
    """How many tries are left, for a prompt; raise ``PinBlockedError`` if none."""
    left = await card.attempts_remaining()
    if left == 0:
        print_note(_BLOCKED)
        raise PinBlockedError
    return "the last try" if left == 1 else f"{left} tries left"
