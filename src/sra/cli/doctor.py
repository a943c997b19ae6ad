"""``sra doctor``: what is wrong, and the command that repairs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sra import checks
from sra.admin import admin_checks
from sra.cli.admin.cards import CardsDir
from sra.cli.console.options import AsJson, ConfigDir, examples
from sra.cli.console.output import print_findings
from sra.cli.remote.pairing import read_card
from sra.paths import DEFAULT_PORT, AdminPaths, Paths, admin_paths
from sra.remote.checks import remote_checks
from sra.transport.known_remotes import Address, parse_address

EXAMPLES = examples("sra doctor", "sra doctor remote.example.com", "sra doctor --certificate alice.pem --json")


def doctor(
    remote: Annotated[
        str, typer.Argument(metavar="[HOST[:PORT]]", help="On an admin's machine: the remote to check.")
    ] = "",
    *,
    certificate: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(
            "--certificate", metavar="FILE", help="On a remote: the certificate of a card that should open an account."
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="DIR", help="Check the remote whose files are in DIR.")
    ] = None,
    as_json: AsJson = False,
    cards_dir: CardsDir,
    config_dir: ConfigDir = None,
) -> None:
    """Check everything that a connection needs: on a remote (as root), or, with HOST, from an admin's machine.

    Each line says ok, or what is wrong and the command that repairs it. Exit status 1 if anything is wrong.
    """
    paths = Paths(root.absolute() if root else Path("/"))
    if remote:
        host, port = parse_address(remote)
        findings = _of_admin(admin_paths(config_dir, os.environ), cards_dir, Address(host, port or DEFAULT_PORT))
    elif root is not None or paths.etc.exists():
        card = None if certificate is None else read_card(certificate)
        findings = checks.run(remote_checks.CHECKS, remote_checks.CheckedRemote(paths, card))
    else:
        findings = _of_admin(admin_paths(config_dir, os.environ), cards_dir, None)
    if not print_findings(findings, as_json=as_json):
        raise typer.Exit(1)


def _of_admin(paths: AdminPaths, cards_dir: Path, address: Address | None) -> list[checks.Finding]:
    findings = checks.run(admin_checks.CHECKS, admin_checks.Admin(paths, cards_dir))
    if address is not None:
        findings += checks.run_until_wrong(admin_checks.OF_A_REMOTE, admin_checks.Target(address, paths))
    return findings
