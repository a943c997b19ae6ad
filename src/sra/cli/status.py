"""``sra status``: how this machine stands, in a few lines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sra.checks import WrongError
from sra.cli.console.options import AsJson, ConfigDir, examples
from sra.cli.console.output import print_facts, print_json
from sra.errors import LinkError, SraError
from sra.paths import AdminPaths, Paths, admin_paths
from sra.remote.accounts.pairing import PairingStore
from sra.remote.build import open_licenses
from sra.remote.checks.remote_checks import CheckedRemote, check_clock, listen_address
from sra.remote.license.statement import day
from sra.system import tcp
from sra.transport import probe as handshakes
from sra.transport import tls_identity
from sra.transport.known_remotes import KnownRemotes

EXAMPLES = examples("sra status", "sra status --json")

Value = str | int | bool | None


@dataclass(frozen=True)
class StatusFact:
    """Something about this machine; ``problem``: why it is unknown, or what is wrong with it."""

    value: Value
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problem

    @property
    def fields(self) -> dict[str, Value]:
        """What a program reads."""
        return {"ok": True, "value": self.value} if self.ok else {"ok": False, "problem": self.problem}


StatusFacts = dict[str, Value | StatusFact]


def status(
    *,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="DIR", help="Of the remote whose files are in DIR.")
    ] = None,
    as_json: AsJson = False,
    config_dir: ConfigDir = None,
) -> None:
    """Show how this machine stands: as a remote if it is one, else as an admin's. “sra doctor” says what is wrong.

    Exit status 1 if the remote does not run, or something is wrong with what it rests on.
    """
    paths = Paths(root.absolute() if root else Path("/"))
    is_remote = root is not None or paths.etc.exists()
    facts = of_remote(CheckedRemote(paths)) if is_remote else of_admin(admin_paths(config_dir, os.environ))
    is_ok = facts.get("running", True) is True and all(
        each.ok for each in facts.values() if isinstance(each, StatusFact)
    )
    if as_json:
        named = {name: each.fields if isinstance(each, StatusFact) else each for name, each in facts.items()}
        print_json({"ok": is_ok, **named})
    else:
        print_facts([(name.replace("_", " "), _shown(value)) for name, value in facts.items()])
    if not is_ok:
        raise typer.Exit(1)


def of_remote(remote: CheckedRemote) -> StatusFacts:
    """A remote: whether it runs, who is connected, and what that rests on."""
    running = _is_running(remote)
    return {
        "running": running,
        "connections": tcp.count_connections(remote.config.port) if running else 0,
        "virtual_cards": tcp.count_connections(remote.config.local_port) if running else 0,
        "license": _license(remote),
        "clock": _fact(lambda: check_clock(remote)),
        "identity": _fact(lambda: tls_identity.load(remote.paths.identity).fingerprint),
        "pairings": _fact(lambda: len(PairingStore(remote.paths.pairings).pairings())),
    }


def of_admin(paths: AdminPaths) -> StatusFacts:
    """An admin's machine."""
    return {
        "remote": False,
        "settings": str(paths.folder),
        "known_remotes": _fact(lambda: len(KnownRemotes(paths.known_remotes).all())),
        "audit_log": str(paths.audit) if paths.audit.exists() else "none yet",
    }


def _is_running(remote: CheckedRemote) -> bool:
    try:
        handshakes.tls(listen_address(remote.config), remote.config.port)
    except LinkError:
        return False
    return True


def _license(remote: CheckedRemote) -> StatusFact:
    def look() -> str:
        license_ = open_licenses(remote.paths).check(time.time())
        return f"{license_.licensee}, until {day(license_.ends)}"

    return _fact(look)


def _fact(look: Callable[[], str | int]) -> StatusFact:
    try:
        return StatusFact(look())
    except WrongError as error:
        return StatusFact(None, f"{error} Run: {error.command}" if error.command else str(error))
    except SraError as error:
        return StatusFact(None, str(error))


def _shown(value: Value | StatusFact) -> object:
    if isinstance(value, StatusFact):
        return value.problem or value.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else value
