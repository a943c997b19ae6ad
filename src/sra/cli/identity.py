"""``sra identity``: the TLS identity of this remote."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sra.cli.options import AsJson, Root, examples
from sra.cli.output import print_facts, print_json
from sra.config import Paths
from sra.transport import tls_identity

app = typer.Typer(no_args_is_help=True, help="The TLS identity by which admins know this remote.")


@app.command(
    epilog=examples("sra identity generate", "sra identity generate --host remote.example.com --host 192.0.2.7")
)
def generate(
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="A host name or IP address of this remote; may be repeated."),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the identity; every admin will be warned that it changed.")
    ] = False,
    root: Root = Path("/"),
) -> None:
    """Make a key and a certificate for this remote (as root)."""
    hosts = host or [os.uname().nodename]
    folder = Paths(root).identity
    print_facts(_facts(tls_identity.generate(folder, hosts, datetime.now(UTC), replace=force)))


@app.command(epilog=examples("sra identity show", "sra identity show --json"))
def show(*, as_json: AsJson = False, root: Root = Path("/")) -> None:
    """Print the fingerprint that an admin is shown at the first connection."""
    identity = tls_identity.load(Paths(root).identity)
    if as_json:
        print_json(
            {
                "fingerprint": identity.fingerprint,
                "names": identity.names,
                "not_after": identity.not_after,
                "folder": str(identity.folder),
            }
        )
    else:
        print_facts(_facts(identity))


def _facts(identity: tls_identity.TlsIdentity) -> list[tuple[str, object]]:
    return [
        ("fingerprint", identity.fingerprint),
        ("names", ", ".join(identity.names) or "(none)"),
        ("valid until", identity.not_after.date()),
        ("folder", identity.folder),
    ]
