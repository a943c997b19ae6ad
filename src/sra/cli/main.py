"""``sra``: the commands of both machines. Their exit status is explained in ``sra.cli.run``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer._completion_classes import completion_init

from sra import __version__, logs
from sra.cli import activation, cards, connect, identity, pairing, pam, remote, rules, screen, session, softcard, trust
from sra.cli import audit as audit_
from sra.cli import card as card_
from sra.cli import doctor as doctor_
from sra.cli import license as license_
from sra.cli import log as log_
from sra.cli import status as status_
from sra.cli.options import examples
from sra.cli.run import run

app = typer.Typer(
    name="sra",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("sra connect remote.example.com", "sra pair alice --certificate alice.pem"),
)
app.command("connect", epilog=connect.EXAMPLES)(connect.connect)
app.command("screen", epilog=screen.EXAMPLES)(screen.screen)
app.add_typer(session.app, name="session")
app.add_typer(rules.app, name="rules")
app.add_typer(card_.app, name="card")
app.command("cards", epilog=examples("sra cards", "sra cards --json"))(cards.cards)
app.add_typer(softcard.app, name="softcard")
app.add_typer(trust.app, name="trust")
app.add_typer(remote.app, name="remote")
app.add_typer(identity.app, name="identity")
app.add_typer(license_.app, name="license")
app.add_typer(audit_.app, name="audit")
app.command("log", epilog=log_.EXAMPLES)(log_.log)
app.command("status", epilog=status_.EXAMPLES)(status_.status)
app.command("doctor", epilog=doctor_.EXAMPLES)(doctor_.doctor)
app.add_typer(pairing.app)
app.add_typer(pam.app, name="pam")
app.add_typer(activation.app)


def main() -> None:
    """Run ``sra``; where a shell completes a command line, answer that."""
    completion_init()
    run(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"sra {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log what is done, and where it goes wrong.")] = False,
) -> None:
    """Use the smart card in your hand on a machine anywhere, as if it sat in that machine's reader."""
    logs.set_up("debug" if debug else "warning", sys.stderr)
