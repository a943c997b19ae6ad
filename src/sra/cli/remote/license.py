"""``sra license``: issue licenses to a fleet's machines; install one on a remote, look at it, remove it."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from sra.cli.console.options import AsJson, ConfigDir, Root, examples
from sra.cli.console.output import print_facts, print_json, print_note
from sra.cli.console.passphrases import PassphraseFd, read_new_passphrase, read_passphrase
from sra.errors import UsageError
from sra.paths import Paths, admin_paths
from sra.remote.build import latest_time, open_licenses
from sra.remote.license import issuers, profile, statement
from sra.remote.license.latest_time import moment
from sra.remote.license.problems import LicenseError
from sra.remote.license.statement import ANY, FEATURES, License, day
from sra.remote.license.store import MAX_PROFILE
from sra.system import files

KEY_FILE, PUBLIC_FILE = "license-issuer.pem", "license-issuer.pub.pem"
DAY = 24 * 60 * 60
"""Seconds."""
CLOCK_SKEW = 60 * 60
"""Seconds that a license is valid earlier than asked for, for machines whose clocks are behind."""
LAST_SECOND = 253_402_300_799
"""The last second of the year 9999, where dates end."""

app = typer.Typer(no_args_is_help=True, help="The license without which a remote lets nobody in.")

KeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The issuer's key; your own settings' folder if not given.")
]


@app.command(epilog=examples("sra license keygen", "sra license keygen --key fleet.pem"))
def keygen(key: KeyFile = None, *, passphrase_fd: PassphraseFd = None, config_dir: ConfigDir = None) -> None:
    """Make the key with which a fleet's licenses are issued; its public half goes to the remotes."""
    path = _key_path(key, config_dir)
    public = path.with_name(PUBLIC_FILE) if key is None else path.with_suffix(".pub.pem")
    passphrase = read_new_passphrase("A passphrase for the issuer's key: ", passphrase_fd)
    made = issuers.generate(path, public, passphrase)
    print_facts([("key", path), ("public key", public), ("identifier", statement.key_id(made))])
    print_note(f"keep {path} to yourself; a remote gets {public.name}: sra license install FILE --issuer {public.name}")


@app.command(
    epilog=examples(
        "sra license issue --licensee 'Example Ltd' --hosts any --days 365 --machines 20 --out example.mobileconfig",
        "sra license issue --licensee Lab --hosts '*.lab.example.com' --days 30 --machines 5 --out lab.mobileconfig",
    )
)
def issue(  # one option for each thing that a license says
    *,
    licensee: Annotated[str, typer.Option(metavar="NAME", help="Who may use it.")],
    hosts: Annotated[list[str], typer.Option(metavar="PATTERN", help="Names of machines, or “any”; may be repeated.")],
    days: Annotated[int, typer.Option(min=1, max=36500, help="For how many days.")],
    machines: Annotated[int, typer.Option(min=1, help="How many machines may have it.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The profile to be made.")],
    begins: Annotated[str, typer.Option("--from", metavar="DATE", help="The first day (UTC); now if not given.")] = "",
    feature: Annotated[list[str] | None, typer.Option(help="What it includes; all if not given.")] = None,
    key: KeyFile = None,
    passphrase_fd: PassphraseFd = None,
    config_dir: ConfigDir = None,
) -> None:
    """Issue a license, as a configuration profile for remotes: by “sra license install”, by hand or by an MDM."""
    first = _first_second(begins) if begins else int(time.time())
    license_ = _license(licensee, hosts, first, days, machines, feature or FEATURES)
    if out.exists():
        raise UsageError(f"{out} is there already. Name another file.")
    path = _key_path(key, config_dir)
    signer = issuers.open_key(path, read_passphrase(f"The passphrase of {path}: ", passphrase_fd))
    files.replace(out, profile.build(statement.sign(license_, signer), license_.serial, license_.licensee), 0o644)
    print_facts([*_facts(license_), ("profile", out)])


@app.command(
    epilog=examples(
        "sra license install example.mobileconfig",
        "sra license install example.mobileconfig --issuer license-issuer.pub.pem",
    )
)
def install(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration profile (.mobileconfig).")],
    *,
    issuer: Annotated[
        Path | None, typer.Option(metavar="KEY", help="From now on, trust who issued it: the public key in PEM.")
    ] = None,
    root: Root = Path("/"),
) -> None:
    """Install a license on this remote (as root), if it holds here and now. The daemon takes it up by itself."""
    store = open_licenses(Paths(root))
    data = _read(file, MAX_PROFILE)
    key = None if issuer is None else issuers.parse_public(_read(issuer, issuers.MAX_FILE), str(issuer))
    try:
        license_ = store.judge(data, key, time.time())
    except LicenseError as error:
        raise UsageError(f"{file} was not installed. {error.text}{_bracketed(error.detail)}") from error
    print_facts([*_facts(license_), ("installed", store.install(data, key))])
    latest = latest_time(Paths(root))
    if latest.stored() is None:  # the clock is right, as far as anyone can tell: the license holds by it
        latest.accept(time.time())


@app.command(epilog=examples("sra license status", "sra license status --json"))
def status(*, as_json: AsJson = False, root: Root = Path("/")) -> None:
    """Show the license of this remote; exit status 3, with the reason, if none holds."""
    store = open_licenses(Paths(root))
    try:
        license_ = store.check(time.time())
    except LicenseError as error:
        if as_json:
            print_json({"valid": False, "problem": error.problem, "text": error.text, "detail": error.detail})
        else:
            print_facts([("license", f"none that holds{_bracketed(error.detail)}")])
        raise
    if as_json:
        print_json({"valid": True, **describe(license_)})
    else:
        print_facts(_facts(license_))


@app.command(epilog=examples("sra license remove"))
def remove(*, root: Root = Path("/")) -> None:
    """Remove the license of this remote (as root). From then on nobody can connect; open sessions stay open."""
    gone = open_licenses(Paths(root)).remove()
    for path in gone:
        print_note(f"removed {path}")
    if not gone:
        print_note("there was no license to remove")


@app.command(epilog=examples("sra license clock", "sra license clock --accept"))
def clock(
    *,
    accept: Annotated[
        bool, typer.Option("--accept", help="The clock is right now, and was wrong before (as root).")
    ] = False,
    root: Root = Path("/"),
) -> None:
    """Show the clock, and the latest time that counts; with --accept, have the clock's time count from now on.

    For a clock that once went wrong forward. The daemon takes it up at the next connection.
    """
    latest, now = latest_time(Paths(root)), time.time()
    if accept:
        latest.accept(now)
    stored = latest.stored()
    print_facts([("clock", moment(now)), ("latest", "none yet" if stored is None else moment(stored))])


def describe(license_: License) -> dict[str, object]:
    """What a license says, for programs."""
    values = {name: getattr(license_, name) for name in ("licensee", "serial", "hosts", "machines", "features")}
    times = {name: datetime.fromtimestamp(getattr(license_, name), UTC) for name in ("issued", "begins", "ends")}
    return values | times


def _facts(license_: License) -> list[tuple[str, object]]:
    return [
        ("licensee", license_.licensee),
        ("serial", license_.serial),
        ("valid", f"from {day(license_.begins)} until {day(license_.ends)} (UTC)"),
        ("machines", license_.machines),
        ("hosts", license_.hosts if license_.hosts == ANY else ", ".join(license_.hosts)),
        ("features", ", ".join(license_.features)),
    ]


def _license(
    licensee: str, hosts: list[str], begins: int, days: int, machines: int, features: list[str] | tuple[str, ...]
) -> License:
    """The license, if it is one that ``statement.verify`` would take."""
    if unknown := set(features) - set(FEATURES):
        raise UsageError(f"There is no feature “{min(unknown)}”. There are {' and '.join(FEATURES)}.")
    names = [host.lower() for host in hosts]
    values = {
        "sub": licensee, "jti": str(uuid.uuid4()), "iat": int(time.time()), "nbf": max(0, begins - CLOCK_SKEW),
        "exp": min(begins + days * DAY, LAST_SECOND), "machines": machines,
        "hosts": ANY if ANY in names else names, "features": list(features),
    }  # fmt: skip
    try:
        return msgspec.convert(values, License)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"No license can say that: {error}. Hosts are names in which “*” stands for anything."
        ) from None


def _first_second(text: str) -> int:
    try:
        begins = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"“{text}” is not a date: write YYYY-MM-DD.") from error
    return int(datetime(begins.year, begins.month, begins.day, tzinfo=UTC).timestamp())


def _key_path(key: Path | None, config_dir: Path | None) -> Path:
    return key or admin_paths(config_dir, os.environ).folder / KEY_FILE


def _read(path: Path, limit: int) -> bytes:
    content = files.read(path, limit)
    if content is None:
        raise UsageError(f"{path} is missing.")
    return content.data


def _bracketed(detail: str) -> str:
    return f" ({detail})" if detail else ""
