"""``sra trust``: the remotes that this admin trusted."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from sra.cli.console.options import AsJson, ConfigDir, examples
from sra.cli.console.output import print_json, print_note, print_table
from sra.errors import UsageError
from sra.logs import clean
from sra.paths import admin_paths
from sra.transport.known_remotes import KnownRemote, KnownRemotes, parse_address

app = typer.Typer(no_args_is_help=True, help="The remotes that you trusted when you connected to them.")


@app.command("list", epilog=examples("sra trust list", "sra trust list --json"))
def list_(*, as_json: AsJson = False, config_dir: ConfigDir = None) -> None:
    """Show the remotes that are remembered, and by which fingerprint."""
    remotes = _known(config_dir).all()
    if as_json:
        print_json([_fields(known) for known in remotes])
        return
    rows = [(known.address, known.fingerprint, known.added) for known in remotes]
    print_table(("REMOTE", "FINGERPRINT", "SINCE"), rows, "No remote is remembered yet: “sra connect HOST” asks you.")


@app.command(epilog=examples("sra trust forget remote.example.com", "sra trust forget remote.example.com:4116"))
def forget(
    remote: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The remote, as “sra trust list” shows it.")],
    *,
    config_dir: ConfigDir = None,
) -> None:
    """Forget a remote, so that the next connection asks again whether to trust it."""
    host, port = parse_address(remote)
    gone = _known(config_dir).forget(host, port)
    if not gone:
        raise UsageError(f"{clean(remote)} is not remembered. “sra trust list” shows the remotes that are.")
    for known in gone:
        print_note(f"forgot {known.address}")


def _known(config_dir: ConfigDir) -> KnownRemotes:
    return KnownRemotes(admin_paths(config_dir, os.environ).known_remotes)


def _fields(known: KnownRemote) -> dict[str, object]:
    address = known.address
    return {"host": address.host, "port": address.port, "fingerprint": known.fingerprint, "added": known.added}
