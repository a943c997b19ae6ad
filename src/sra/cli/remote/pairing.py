"""``sra pair``, ``unpair``, ``pairings`` and ``whois``: which card opens which account of this remote."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sra.cli.console.options import AsJson, Root, examples
from sra.cli.console.output import print_facts, print_json, print_note, print_table
from sra.cli.remote.pam import note_missing_access
from sra.config import DaemonConfig, load_daemon_config
from sra.errors import RefusalCode, RefusedError, UsageError
from sra.identity.certificates import MAX_CERTIFICATE, CardCertificate, parse_file
from sra.identity.policy import CertificatePolicy, PolicyFinding
from sra.identity.usage import check_purpose, check_slot, says_its_use
from sra.paths import Paths
from sra.remote.accounts.directory import find_local
from sra.remote.accounts.finder import AccountFinder, Decision
from sra.remote.accounts.pairing import LookupStep, PairingStore
from sra.remote.build import open_finder, verdict
from sra.remote.logins import refresh
from sra.remote.logins.login_paths import LoginPaths

app = typer.Typer()

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An account of this machine.")]
KeyHash = Annotated[
    str | None,
    typer.Option("--hash", metavar="HASH", help="The hash of the card's public key: sha256:HEX or sha1:HEX."),
]


@app.command(epilog=examples("sra pair alice --certificate alice.pem", "sra pair alice --hash sha256:9f86d081…"))
def pair(
    account: AccountArgument,
    certificate: Annotated[
        typer.FileBinaryRead | None,
        typer.Option("--certificate", metavar="FILE", help="The card's certificate (9A), PEM or DER; “-” reads stdin."),
    ] = None,
    key_hash: KeyHash = None,
    *,
    root: Root = Path("/"),
) -> None:
    """Let a card open an account (as root). A card opens one account; an account may have several cards."""
    name = find_local(account).name
    store = PairingStore(Paths(root).pairings)
    if certificate is not None and key_hash is None:
        card = _read_to_pair(certificate, load_daemon_config(Paths(root).config))
        is_new = store.pair_certificate(name, card)
        refresh.paired_cards(Paths(root)).add(card)
        _note_validity(card)
    elif key_hash is not None and certificate is None:
        is_new = store.pair(name, key_hash)
    else:
        raise UsageError("Name the card either by --certificate FILE or by --hash HASH.")
    print_note(f"paired with {name}" if is_new else f"this card was paired with {name} before")
    _note_problems(store)
    refresh.refresh(Paths(root))
    if key_hash is not None and refresh.is_enabled(LoginPaths(root)):
        print_note(
            "note: this machine's logins need the card's certificate. They learn it when the card connects, if an "
            f"authority vouches for it; otherwise run: sra pair {name} --certificate FILE"
        )
    note_missing_access(root, [name])


@app.command(epilog=examples("sra unpair alice", "sra unpair alice --hash sha256:9f86d081…"))
def unpair(account: AccountArgument, key_hash: KeyHash = None, *, root: Root = Path("/")) -> None:
    """Remove an account's cards (as root): all of them, or one. Open sessions stay open."""
    # The removals come first, and read no certificate; the refresh reads all cards, and may fail.
    store = PairingStore(Paths(root).pairings)
    for gone in store.unpair(account, key_hash):
        print_note(f"unpaired {gone.account} from {gone.hash}")
    refresh.withdraw(Paths(root), account)
    _note_problems(store)
    refresh.forget_unpaired(Paths(root))
    refresh.refresh(Paths(root))


@app.command(epilog=examples("sra pairings", "sra pairings --json"))
def pairings(*, as_json: AsJson = False, root: Root = Path("/")) -> None:
    """Show which cards open which accounts."""
    store = PairingStore(Paths(root).pairings)
    found = store.pairings()
    _note_problems(store)
    if as_json:
        print_json(found)
        return
    rows = [(each.account, each.hash, each.subject, each.added or "") for each in found]
    empty = "No card is paired. To add one, run: sra pair ACCOUNT --certificate FILE"
    print_table(("ACCOUNT", "HASH", "SUBJECT", "ADDED"), rows, empty)


@app.command(epilog=examples("sra whois alice.pem", "sra whois --json - < alice.pem"))
def whois(
    certificate: Annotated[typer.FileBinaryRead, typer.Argument(metavar="FILE", help="A certificate, PEM or DER.")],
    *,
    as_json: AsJson = False,
    root: Root = Path("/"),
) -> None:
    """Explain, rule by rule, which account a card's certificate opens here; exit status 3 if none."""
    card = read_card(certificate)
    paths = Paths(root)
    config = load_daemon_config(paths.config)
    found = _decide(open_finder(paths, config.accounts), card)
    found = _with_policy(found, *verdict(paths, config.policy, card))
    if as_json:
        rules = [{"rule": finding.rule, "outcome": finding.outcome} for finding in found.findings]
        reason = str(found.refusal or "")
        print_json({"account": found.account or None, "reason": reason, "subject": card.subject, "rules": rules})
    else:
        facts = [(finding.rule, finding.outcome) for finding in found.findings]
        print_facts([("its certificate says", card.display_name), *facts, ("account", found.account or "(none)")])
    if found.refusal is not None:
        raise found.refusal


def _note_problems(store: PairingStore) -> None:
    for problem in store.problems():
        print_note(f"note: {problem}")


def read_card(certificate: typer.FileBinaryRead) -> CardCertificate:
    """The card's certificate in a file; raise ``UsageError`` if it can't open an account."""
    try:
        return parse_file(certificate.read(MAX_CERTIFICATE + 1))
    except RefusedError as error:
        raise UsageError(f"{certificate.name}: {error} Name a card's certificate, PEM or DER.") from error


def _read_to_pair(certificate: typer.FileBinaryRead, config: DaemonConfig) -> CardCertificate:
    """As ``read_card``; also raise ``UsageError`` if its slot or purpose never opens a connection."""
    card = read_card(certificate)
    try:
        check_slot(card, may_decrypt=config.policy.allow_decrypting_keys)
        check_purpose(card, CertificatePolicy())
    except RefusedError as error:
        raise UsageError(f"{certificate.name}: {error}") from error
    if not says_its_use(card):
        print_note(
            "note: the certificate does not say what its key is for (key usage). Make sure that it is from slot 9A"
        )
    return card


def _decide(finder: AccountFinder, card: CardCertificate) -> Decision:
    """The daemon's decision, with every rule even if the dates refuse the card already."""
    found = asyncio.run(finder.explain(card))
    try:
        card.check_validity(datetime.now(UTC))
    except RefusedError as error:
        return Decision((LookupStep("dates", str(error)), *found.findings), refusal=error)
    dates = LookupStep("dates", f"valid until {card.not_after.date()}")
    return Decision((dates, *found.findings), found.account, found.refusal)


def _with_policy(found: Decision, rules: Sequence[PolicyFinding], refusal: RefusedError | None) -> Decision:
    """The decision with the policy's rules after the dates, as in ``srad``: its refusal precedes the account's."""
    policy = [LookupStep(each.rule, each.outcome) for each in rules]
    dates, *accounts = found.findings
    findings = (dates, *policy, *accounts)
    is_out_of_date = found.refusal is not None and found.refusal.code is RefusalCode.EXPIRED
    first = found.refusal if is_out_of_date or refusal is None else refusal
    return Decision(findings, "" if first else found.account, first)


def _note_validity(card: CardCertificate) -> None:
    """Print a note if the card that was just paired is out of its dates."""
    try:
        card.check_validity(datetime.now(UTC))
    except RefusedError as error:
        print_note(f"note: {error}")
