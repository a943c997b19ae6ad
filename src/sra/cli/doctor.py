"""``sra doctor``: what is wrong, and the command that mends it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sra import checks
from sra.admin import admin_checks as doctor_admin
from sra.cli.admin.cards import CardsDir
from sra.cli.console.options import AsJson, ConfigDir, examples
from sra.cli.console.output import print_findings
from sra.errors import RefusedError, UsageError
from sra.identity.certificates import MAX_CERTIFICATE, CardCertificate, parse_file
from sra.paths import AdminPaths, Paths, admin_paths
from sra.remote.checks import remote_checks as doctor_remote
from sra.transport.known_remotes import DEFAULT_PORT, Address, parse_address

EXAMPLES = examples("sra doctor", "sra doctor remote.example.com", "sra doctor --certificate alice.pem --json")


def doctor(
    remote: Annotated[
        str, typer.Argument(metavar="[HOST[:PORT]]", help="On an admin's machine: the remote that can't be used.")
    ] = "",
    *,
    certificate: Annotated[
        typer.FileBinaryRead | None,
        typer.Option("--certificate", metavar="FILE", help="On a remote: the card's certificate that should open it."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="DIR", help="Look at the remote whose files are in DIR.")
    ] = None,
    as_json: AsJson = False,
    cards_dir: CardsDir,
    config_dir: ConfigDir = None,
) -> None:
    """Look at everything that a connection needs: on a remote (as root), or, with HOST, from an admin's machine.

    Each line says ok, or what is wrong and the command that mends it. Exit status 1 if anything is wrong.
    """
    paths = Paths(root.absolute() if root else Path("/"))
    if remote:
        findings = _of_admin(admin_paths(config_dir, os.environ), cards_dir, _address(remote))
    elif root is not None or paths.etc.exists():
        card = None if certificate is None else _card(certificate)
        findings = checks.run(doctor_remote.CHECKS, doctor_remote.CheckedRemote(paths, card))
    else:
        findings = _of_admin(admin_paths(config_dir, os.environ), cards_dir, None)
    if not print_findings(findings, as_json=as_json):
        raise typer.Exit(1)


def _of_admin(paths: AdminPaths, cards_dir: Path, address: Address | None) -> list[checks.Finding]:
    findings = checks.run(doctor_admin.CHECKS, doctor_admin.Admin(paths, cards_dir))
    if address is not None:
        findings += checks.run_until_wrong(doctor_admin.OF_A_REMOTE, doctor_admin.Target(address, paths))
    return findings


def _address(remote: str) -> Address:
    host, port = parse_address(remote)
    return Address(host, port or DEFAULT_PORT)


def _card(certificate: typer.FileBinaryRead) -> CardCertificate:
    try:
        return parse_file(certificate.read(MAX_CERTIFICATE + 1))
    except RefusedError as error:
        raise UsageError(f"{certificate.name}: {error} Name a card's certificate, PEM or DER.") from error
