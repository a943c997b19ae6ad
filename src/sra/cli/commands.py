"""Which module has which command of ``sra``; one is loaded only where its command is used, or help names them all."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from sra import __version__, logs
from sra.cli.console.options import examples


@dataclass(frozen=True)
class CommandModule:
    """A module of ``sra.cli``, and the words after ``sra`` that it answers to.

    It has a function by that word, and ``EXAMPLES``; or else ``app``, whose commands are below the word if that is the
    module's name, and stand for themselves otherwise.
    """

    module: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The module's name without its room."""
        return self.module.rpartition(".")[2]


PARTS = (
    CommandModule("admin.connect", ("connect",)),
    CommandModule("admin.screen", ("screen",)),
    CommandModule("admin.session", ("session",)),
    CommandModule("admin.rules", ("rules",)),
    CommandModule("admin.card", ("card",)),
    CommandModule("admin.cards", ("cards",)),
    CommandModule("admin.softcard", ("softcard",)),
    CommandModule("admin.trust", ("trust",)),
    CommandModule("remote.remote", ("remote",)),
    CommandModule("remote.identity", ("identity",)),
    CommandModule("remote.license", ("license",)),
    CommandModule("audit", ("audit",)),
    CommandModule("log", ("log",)),
    CommandModule("status", ("status",)),
    CommandModule("doctor", ("doctor",)),
    CommandModule("remote.pairing", ("pair", "unpair", "pairings", "whois")),
    CommandModule("remote.pam", ("pam",)),
    CommandModule("remote.activation", ("activate", "deactivate")),
)
"""Help names them in this order, those with commands below them last."""


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """``sra`` as far as these arguments need it: with the command that they name, or with every one."""
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    app = _root()
    for part in [part for part in PARTS if word in part.words] or PARTS:
        _add(app, part)
    return app


def _root() -> typer.Typer:
    app = typer.Typer(
        name="sra",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=examples("sra connect remote.example.com", "sra pair alice --certificate alice.pem"),
    )
    app.callback()(_options)
    return app


def _add(app: typer.Typer, part: CommandModule) -> None:
    module = importlib.import_module(f"sra.cli.{part.module}")
    commands = getattr(module, "app", None)
    if commands is None:
        app.command(part.name, epilog=module.EXAMPLES)(getattr(module, part.name))
    else:
        app.add_typer(commands, name=part.name if part.words == (part.name,) else None)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"sra {__version__}\n")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log what is done, and where it goes wrong.")] = False,
) -> None:
    """Use the smart card in your hand on a machine anywhere, as if it sat in that machine's reader."""
    logs.set_up("debug" if debug else "warning", sys.stderr)
