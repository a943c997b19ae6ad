"""``sra softcard``: make and look after software cards."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from sra.cards.choose import default_cards_dir
from sra.cards.piv_defaults import pin_policy
from sra.cards.software.file import CardFile, CardFolder, StoredKey
from sra.cards.software.maker import CardHolder, CardOrder, Issuer, load_issuer, make, new_puk, parse_subject, validity
from sra.cli.admin.cards import CardsDir
from sra.cli.console.options import AsJson, examples
from sra.cli.console.output import print_json, print_table
from sra.cli.console.pins import PinFd, read_new_pin
from sra.errors import CardError, KeyMissingError, UsageError
from sra.piv.keys import Algorithm, Slot
from sra.system import machine

app = typer.Typer(no_args_is_help=True, help="Make and look after software cards.")

_ALGORITHMS = {
    "RSA2048": Algorithm.RSA_2048,
    "RSA3072": Algorithm.RSA_3072,
    "RSA4096": Algorithm.RSA_4096,
    "P256": Algorithm.P256,
    "P384": Algorithm.P384,
}
_USUAL_SLOTS = ("9A=P256", "9C=P256", "9D=RSA2048", "9E=P256")
"""Signing keys that are lent for everything a remote may ask (docs/decisions/0003), and one that decrypts mail."""
_USUAL_ALGORITHM = "P256"
_NAMES = {algorithm: name for name, algorithm in _ALGORITHMS.items()}
_COLUMNS = ("slot", "algorithm", "PIN", "subject", "issuer", "valid until", "SHA-256")
_CHOICES = ", ".join(_ALGORITHMS)

CardNameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The card's name.")]


@app.command(epilog=examples("sra softcard create ann", "sra softcard create ann --slot 9A=P256 --subject 'Ann Lee'"))
def create(
    name: CardNameArgument,
    cards_dir: CardsDir,
    algorithm: Annotated[
        str | None, typer.Option(help=f"The keys' algorithm: {_CHOICES}. Without it P256, and RSA2048 in 9D.")
    ] = None,
    slot: Annotated[
        list[str] | None, typer.Option(metavar="SLOT[=ALGORITHM]", help="Only this key (9A=P256); may be repeated.")
    ] = None,
    subject: Annotated[str, typer.Option(help="Whose card it is: a name, or CN=Ann,O=Example. Else the card's.")] = "",
    email: Annotated[str, typer.Option(help="The e-mail address in the certificates.")] = "",
    upn: Annotated[str, typer.Option(help="The user principal name in the certificates: ann@example.org.")] = "",
    days: Annotated[int, typer.Option(help="For how many days the certificates are valid.")] = 730,
    ca_cert: Annotated[Path | None, typer.Option(help="The certificate authority's certificate (PEM).")] = None,
    ca_key: Annotated[Path | None, typer.Option(help="The certificate authority's key (PEM).")] = None,
    pin_fd: PinFd = None,
) -> None:
    """Make a software card: its keys, its certificates, its PIN."""
    machine.keep_memory_private()
    folder = CardFolder(cards_dir)
    folder.check_free(name)
    order = CardOrder(
        algorithms=_wanted_keys(slot, algorithm),
        holder=CardHolder(parse_subject(subject or name), email, upn),
        issuer=_load_issuer(ca_cert, ca_key),
        valid=validity(datetime.now(UTC), days),
    )
    puk = new_puk()
    card = make(order, read_new_pin(f"A PIN for the card {name} (6 to 8 digits): ", pin_fd), puk)
    folder.create(name, card)
    typer.echo(_made(name, card, puk, cards_dir))


@app.command(name="list")
def list_cards(cards_dir: CardsDir, as_json: AsJson = False) -> None:
    """List the software cards."""
    rows = [_summary(CardFolder(cards_dir), name) for name in CardFolder(cards_dir).names()]
    if as_json:
        print_json([dict(zip(("name", "keys", "problem"), row, strict=True)) for row in rows])
    else:
        print_table(("name", "keys", "problem"), rows, "There are no software cards; `sra softcard create` makes one.")


@app.command()
def show(name: CardNameArgument, cards_dir: CardsDir, as_json: AsJson = False) -> None:
    """Show what is on a software card."""
    card = CardFolder(cards_dir).read(name)
    keys = [_describe(key) for key in card.keys]
    if as_json:
        print_json({"name": name, "guid": card.guid.hex(), "tries": card.pin.tries, "keys": keys})
        return
    typer.echo(f"software:{name}, GUID {card.guid.hex()}, {card.pin.tries} PIN tries left")
    print_table(_COLUMNS, [tuple(key.values()) for key in keys])


@app.command(epilog=examples("sra softcard certificate ann --out ann.pem"))
def certificate(
    name: CardNameArgument,
    cards_dir: CardsDir,
    slot: Annotated[str, typer.Option(help="The key whose certificate it is.")] = "9A",
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write it to this file instead of printing it.")
    ] = None,
) -> None:
    """Give out a certificate of a software card, as PEM."""
    pem = _certificate(CardFolder(cards_dir).read(name), _parse_slot(slot)).public_bytes(serialization.Encoding.PEM)
    if out is None:
        typer.echo(pem.decode(), nl=False)
        return
    try:
        out.write_bytes(pem)
    except OSError as error:
        raise UsageError(f"{out} can't be written: {error.strerror}.") from error


@app.command()
def remove(
    name: CardNameArgument,
    cards_dir: CardsDir,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a software card with its keys: nobody can bring them back."""
    if not yes:
        typer.confirm(f"Delete the software card {name} and its keys for ever?", abort=True)
    CardFolder(cards_dir).remove(name)


def _wanted_keys(slots: list[str] | None, algorithm: str | None) -> dict[Slot, Algorithm]:
    """The keys to make: those that are named, else the usual four, all of one algorithm if that is named."""
    if slots:
        return _parse_slots(slots, algorithm or _USUAL_ALGORITHM)
    if algorithm:
        return _parse_slots((slot.partition("=")[0] for slot in _USUAL_SLOTS), algorithm)
    return _parse_slots(_USUAL_SLOTS, _USUAL_ALGORITHM)


def _parse_slots(wanted: Iterable[str], usual: str) -> dict[Slot, Algorithm]:
    """The keys to make, from ``9A`` or ``9A=P256``; raise ``UsageError``."""
    pairs = (text.partition("=") for text in wanted)
    return {_parse_slot(slot): _parse_algorithm(algorithm or usual) for slot, _, algorithm in pairs}


def _parse_slot(text: str) -> Slot:
    try:
        return Slot(int(text, 16))
    except ValueError as error:
        raise UsageError(f"{text!r} is no slot; those are 9A, 9C, 9D, 9E, and 82 to 95.") from error


def _parse_algorithm(text: str) -> Algorithm:
    try:
        return _ALGORITHMS[text.upper()]
    except KeyError as error:
        raise UsageError(f"{text!r} is no algorithm for a software card; those are {_CHOICES}.") from error


def _load_issuer(certificate_file: Path | None, key_file: Path | None) -> Issuer | None:
    if certificate_file is None and key_file is None:
        return None
    if certificate_file is None or key_file is None:
        raise UsageError("Give --ca-cert and --ca-key together, or neither for self-signed certificates.")
    return load_issuer(_read(certificate_file), _read(key_file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}.") from error


def _made(name: str, card: CardFile, puk: bytes, cards_dir: Path) -> str:
    """What there is to know after a card was made, and what to do next."""
    place = "" if cards_dir == default_cards_dir() else f" --cards-dir {shlex.quote(str(cards_dir))}"
    lines = [f"Made software:{name}."]
    if any(key.slot is Slot.AUTHENTICATION for key in card.keys):
        found = _certificate(card, Slot.AUTHENTICATION)
        lines.append(f"Certificate 9A, SHA-256: {_fingerprint(found)}")
    lines += [
        f"PUK, shown only now, to unblock the PIN: {puk.decode()}",
        "Next, pair it with an account on the remote:",
        f"  sra softcard certificate {name}{place} --out {name}.pem",
        f"  sra pair ACCOUNT --certificate {name}.pem      (on the remote, as root)",
    ]
    return "\n".join(lines)


def _summary(folder: CardFolder, name: str) -> tuple[str, str, str]:
    try:
        card = folder.read(name)
    except CardError as error:
        return name, "", str(error)
    return name, ", ".join(f"{key.slot:02X} {_NAMES[key.algorithm]}" for key in card.keys), ""


def _describe(key: StoredKey) -> dict[str, str]:
    found = x509.load_der_x509_certificate(key.certificate)
    return {
        "slot": f"{key.slot:02X}",
        "algorithm": _NAMES[key.algorithm],
        "pin": pin_policy(key.slot),
        "subject": found.subject.rfc4514_string(),
        "issuer": found.issuer.rfc4514_string(),
        "valid_until": f"{found.not_valid_after_utc:%Y-%m-%d}",
        "sha256": _fingerprint(found),
    }


def _certificate(card: CardFile, slot: Slot) -> x509.Certificate:
    for key in card.keys:
        if key.slot is slot:
            return x509.load_der_x509_certificate(key.certificate)
    raise KeyMissingError(f"The card has no key {slot:02X}; `sra softcard show` lists those it has.")


def _fingerprint(found: x509.Certificate) -> str:
    return found.fingerprint(hashes.SHA256()).hex(":").upper()
