"""``sra identity``: the TLS identity of this remote, and others that it could use instead."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sra.cli.console.options import AsJson, Root, examples
from sra.cli.console.output import print_facts, print_json, print_note, print_table
from sra.cli.console.passwords import PasswordFd, read_password
from sra.errors import UsageError
from sra.paths import Paths
from sra.system import files
from sra.transport import identity_choice, tls_identity
from sra.transport.identity_choice import PKCS12_NAMES, IdentityCandidate

app = typer.Typer(no_args_is_help=True, help="The TLS identity by which admins know this remote.")


@app.command(
    epilog=examples(
        "sra identity generate",
        "sra identity generate --host remote.example.com --host 192.0.2.7",
        "sra identity generate --renew",
    )
)
def generate(
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="A host name or IP address of this remote; may be repeated."),
    ] = None,
    *,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Replace the identity; the old one signs the new one, so admins accept it."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the identity; every admin will be warned that it changed.")
    ] = False,
    root: Root = Path("/"),
) -> None:
    """Make a key and a certificate for this remote (as root)."""
    folder, now = Paths(root).identity, datetime.now(UTC)
    if renew and force:
        raise UsageError("Choose one: --renew (the old identity signs the new one) or --force (if its key was stolen).")
    if renew:
        print_facts(_facts(tls_identity.renew(folder, now, host)))
        print_note("srad uses it after a restart: on an activated machine, run “sra activate”")
        return
    hosts = host or [os.uname().nodename]
    print_facts(_facts(tls_identity.generate(folder, hosts, now, replace=force)))


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


@app.command("list", epilog=examples("sra identity list", "sra identity list --json"))
def list_(*, as_json: AsJson = False, root: Root = Path("/")) -> None:
    """Show the identities that “sra activate -c FINGERPRINT” can choose (as root). PKCS#12 files stay closed."""
    folder = Paths(root).identities
    found, closed = identity_choice.in_pem(folder), identity_choice.pkcs12_files(folder)
    if as_json:
        problems = ({"problem": str(each)} for each in found.problems)
        print_json([*map(_fields, found.identities), *({"file": str(path)} for path in closed), *problems])
        return
    rows = [(each.path.name, each.sha1, ", ".join(each.names), str(each.not_after.date())) for each in found.identities]
    rows += [(path.name, "(PKCS#12: opened with its password)", "", "") for path in closed]
    empty = f"There is none in {folder}. To add one, run: sra identity import FILE"
    print_table(("FILE", "SHA-1", "NAMES", "VALID UNTIL"), rows, empty)
    for each in found.problems:
        print_note(f"left out: {each}")


@app.command(
    "import", epilog=examples("sra identity import remote.p12", "sra identity import remote.crt --key remote.key")
)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A PKCS#12 file, or a certificate in PEM.")],
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its key in PEM, if not in FILE.")] = None,
    password_fd: PasswordFd = None,
    *,
    root: Root = Path("/"),
) -> None:
    """Put an identity among those that can be chosen (as root); it is not used before “sra activate -c”."""
    found = _open(file, key, password_fd)
    folder = Paths(root).identities
    files.make_folder(folder, 0o700)
    target = folder / identity_choice.file_name(found.certificate)
    files.replace(target, identity_choice.pem_file(found.files), 0o600)
    print_facts([("file", target), ("SHA-1", found.sha1), ("fingerprint", found.fingerprint)])


def _open(file: Path, key: Path | None, password_fd: int | None) -> IdentityCandidate:
    if file.suffix.lower() not in PKCS12_NAMES:
        return identity_choice.open_pem(file, key or file)
    if key is not None:
        raise UsageError(f"{file} has its key in it; leave --key out.")
    return identity_choice.open_pkcs12(file, read_password(f"Password of {file}: ", password_fd))


def _fields(each: IdentityCandidate) -> dict[str, object]:
    return {
        "file": str(each.path),
        "sha1": each.sha1,
        "fingerprint": each.fingerprint,
        "names": each.names,
        "not_after": each.not_after,
    }


def _facts(identity: tls_identity.TlsIdentity) -> list[tuple[str, object]]:
    return [
        ("fingerprint", identity.fingerprint),
        ("names", ", ".join(identity.names) or "(none)"),
        ("valid until", identity.not_after.date()),
        ("folder", identity.folder),
    ]
