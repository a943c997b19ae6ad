"""``sra session``: what runs on this machine, and how it is told to eject, pause and go on."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from sra.admin import control
from sra.admin.control import ControlRequest, ControlStatus
from sra.cli.console.options import AsJson, ConfigDir, examples
from sra.cli.console.output import print_json, print_note, print_table
from sra.errors import LinkError, UsageError
from sra.logs import clean
from sra.paths import admin_paths
from sra.programs.run import print_error

app = typer.Typer(no_args_is_help=True, help="The connections that run now: eject the card, pause, go on.")

RemoteArgument = Annotated[
    str, typer.Argument(metavar="[HOST]", help="The remote; not needed where only one is connected.")
]


@app.command("list", epilog=examples("sra session list", "sra session list --json"))
def list_(*, as_json: AsJson = False, config_dir: ConfigDir = None) -> None:
    """Show the connections that run, and how they stand."""
    standings = list(asyncio.run(_all(config_dir)).values())
    if as_json:
        print_json(standings)
        return
    rows = [(one.remote, one.account, one.card, _card(one), one.uses) for one in standings]
    print_table(("REMOTE", "ACCOUNT", "CARD", "STATE", "USES"), rows, "No connection runs.")


def _card(standing: ControlStatus) -> str:
    if not standing.connected:
        return "link lost"
    if not standing.inserted:
        return "ejected"
    return "paused" if standing.paused else "inserted"


@app.command(epilog=examples("sra session eject", "sra session eject remote.example.com"))
def eject(remote: RemoteArgument = "", *, config_dir: ConfigDir = None) -> None:
    """Take the card out of a remote's reader, at once; the connection stays."""
    _order(remote, ControlRequest.EJECT, config_dir, "the card is out of its reader")


@app.command(epilog=examples("sra session insert"))
def insert(remote: RemoteArgument = "", *, config_dir: ConfigDir = None) -> None:
    """Insert a card again that was ejected."""
    _order(remote, ControlRequest.INSERT, config_dir, "the card is being inserted again")


@app.command(epilog=examples("sra session pause"))
def pause(remote: RemoteArgument = "", *, config_dir: ConfigDir = None) -> None:
    """Refuse whatever a remote asks, until it is resumed; the card stays in its reader."""
    _order(remote, ControlRequest.PAUSE, config_dir, "paused")


@app.command(epilog=examples("sra session resume"))
def resume(remote: RemoteArgument = "", *, config_dir: ConfigDir = None) -> None:
    """Answer a remote again."""
    _order(remote, ControlRequest.RESUME, config_dir, "resumed")


@app.command(epilog=examples("sra session reopen"))
def reopen(remote: RemoteArgument = "", *, config_dir: ConfigDir = None) -> None:
    """Lend the card again after wrong session codes; a new code is shown."""
    standing = _order(remote, ControlRequest.REOPEN, config_dir, "open again")
    typer.echo(f"Session code {standing.code}")


def _order(remote: str, order: ControlRequest, config_dir: ConfigDir, done: str) -> ControlStatus:
    standing = asyncio.run(_tell(remote, order, config_dir))
    print_note(f"{standing.remote}: {done}")
    return standing


async def _all(config_dir: ConfigDir) -> dict[Path, ControlStatus]:
    """Every connection that answers; those that don't hold up nobody."""
    paths = control.running(admin_paths(config_dir, os.environ).sessions)
    answers = await asyncio.gather(
        *(control.tell(path, ControlRequest.STATUS) for path in paths), return_exceptions=True
    )
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, LinkError):
            print_error(f"Process {path.stem} does not answer; end it if it hangs.")
    return {path: answer for path, answer in zip(paths, answers, strict=True) if isinstance(answer, ControlStatus)}


async def _tell(remote: str, order: ControlRequest, config_dir: ConfigDir) -> ControlStatus:
    """Give the order to the connection with that remote, or to the only one."""
    standings = await _all(config_dir)
    chosen = [path for path, one in standings.items() if remote in ("", one.remote)]
    if len(chosen) == 1:
        return await control.tell(chosen[0], order)
    names = ", ".join(one.remote for one in standings.values()) or "none"
    problem = "Several connections run" if chosen else f"No connection with {clean(remote) or 'any remote'} runs"
    raise UsageError(f"{problem}. There are: {names}.")
