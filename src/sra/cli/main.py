"""``sra``: the commands of both machines (``sra.programs.run`` explains their exit status).

A module with commands is loaded only if its command is used, or if help lists them all.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from typer._completion_classes import completion_init

from sra import __version__, logs
from sra.cli.console.options import examples
from sra.programs.run import run


@dataclass(frozen=True)
class CommandModule:
    """A module of ``sra.cli``, and the words after ``sra`` that it handles.

    It has a function with the word's name, and ``EXAMPLES``; or ``app``, whose commands are below the word if that is
    the module's name, and are the words themselves otherwise.
    """

    module: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The module's name without its package."""
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
"""Help lists them in this order, those with commands below them last."""


def main() -> None:
    """Run ``sra``, or answer a shell that completes a command line."""
    completion_init()
    run(build(sys.argv[1:]))


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """``sra`` with the command that these arguments name, or with every command."""
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
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
    for part in [part for part in PARTS if word in part.words] or PARTS:
        module = importlib.import_module(f"sra.cli.{part.module}")
        commands = getattr(module, "app", None)
        if commands is None:
            app.command(part.name, epilog=module.EXAMPLES)(getattr(module, part.name))
        else:
            app.add_typer(commands, name=part.name if part.words == (part.name,) else None)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"sra {__version__}\n")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log every step, and errors with their place in the code.")
    ] = False,
) -> None:
    """Use the smart card in your hand on a machine anywhere, as if it sat in that machine's reader."""
    logs.set_up("debug" if debug else "warning", sys.stderr)
