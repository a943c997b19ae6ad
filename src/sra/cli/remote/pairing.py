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
from sra.cli.remote.pam import note_kept_out
from sra.config import DaemonConfig, load_daemon_config
from sra.errors import RefusalCode, RefusedError, UsageError
from sra.identity.certificates import MAX_CERTIFICATE, CardCertificate, parse_file
from sra.identity.policy import CertificatePolicy, PolicyFinding
from sra.identity.usage import check_purpose, check_slot, says_its_use
from sra.paths import Paths
from sra.remote.accounts.finder import AccountFinder, Decision
from sra.remote.accounts.local_linux import find_local
from sra.remote.accounts.pairing import LookupStep, PairingStore
from sra.remote.build import open_finder, verdict
from sra.remote.logins import refresh as logins
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
    """Let a card open an account (as root). One card opens one account; an account may have several cards."""
    name = find_local(account).name
    store = PairingStore(Paths(root).pairings)
    if certificate is not None and key_hash is None:
        card = _read_to_pair(certificate, load_daemon_config(Paths(root).config))
        is_new = store.pair_certificate(name, card)
        logins.paired_cards(Paths(root)).add(card)
        _note_validity(card)
    elif key_hash is not None and certificate is None:
        is_new = store.pair(name, key_hash)
    else:
        raise UsageError("Name the card either by --certificate FILE or by --hash HASH.")
    print_note(f"paired with {name}" if is_new else f"this card was paired with {name} before")
    _note_problems(store)
    logins.refresh(Paths(root))
    if key_hash is not None and logins.is_enabled(LoginPaths(root)):
        print_note(
            f"note: this machine's logins go by certificates. They learn this card's when it comes in and a trusted "
            f"authority vouches for it; otherwise run: sra pair {name} --certificate FILE"
        )
    note_kept_out(root, [name])


@app.command(epilog=examples("sra unpair alice", "sra unpair alice --hash sha256:9f86d081…"))
def unpair(account: AccountArgument, key_hash: KeyHash = None, *, root: Root = Path("/")) -> None:
    """Take an account's cards away (as root): all of them, or one. Sessions that are open stay open.

    What takes something away comes first, and reads no certificate; then what looks at everybody's cards, and may fail.
    """
    store = PairingStore(Paths(root).pairings)
    for gone in store.unpair(account, key_hash):
        print_note(f"unpaired {gone.account} from {gone.hash}")
    logins.withdraw(Paths(root), account)
    _note_problems(store)
    logins.forget_unpaired(Paths(root))
    logins.refresh(Paths(root))


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
    card = _read(certificate)
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


def _read(certificate: typer.FileBinaryRead) -> CardCertificate:
    """The certificate in a file that somebody named; raise ``UsageError`` if it is none that could open an account."""
    try:
        return parse_file(certificate.read(MAX_CERTIFICATE + 1))
    except RefusedError as error:
        raise UsageError(f"{certificate.name}: {error} Name a card's certificate, PEM or DER.") from error


def _read_to_pair(certificate: typer.FileBinaryRead, config: DaemonConfig) -> CardCertificate:
    """As ``_read``; raise ``UsageError`` also if its slot or purpose never opens a connection."""
    card = _read(certificate)
    try:
        check_slot(card, may_decrypt=config.policy.allow_decrypting_keys)
        check_purpose(card, CertificatePolicy())
    except RefusedError as error:
        raise UsageError(f"{certificate.name}: {error}") from error
    if not says_its_use(card):
        print_note("note: the certificate does not say what its key is for (key usage). Be sure that it is of slot 9A")
    return card


def _decide(finder: AccountFinder, card: CardCertificate) -> Decision:
    """What the daemon would say: its two questions in its order, and every rule even if the first says no."""
    found = asyncio.run(finder.explain(card))
    try:
        card.check_validity(datetime.now(UTC))
    except RefusedError as error:
        return Decision((LookupStep("dates", str(error)), *found.findings), refusal=error)
    dates = LookupStep("dates", f"valid until {card.not_after.date()}")
    return Decision((dates, *found.findings), found.account, found.refusal)


def _with_policy(found: Decision, rules: Sequence[PolicyFinding], refusal: RefusedError | None) -> Decision:
    """The same with the policy's rules after the dates, as ``srad`` asks them: its refusal precedes the account's."""
    policy = [LookupStep(each.rule, each.outcome) for each in rules]
    dates, *accounts = found.findings
    findings = (dates, *policy, *accounts)
    is_out_of_date = found.refusal is not None and found.refusal.code is RefusalCode.EXPIRED
    first = found.refusal if is_out_of_date or refusal is None else refusal
    return Decision(findings, "" if first else found.account, first)


def _note_validity(card: CardCertificate) -> None:
    """Say so if the card that was just paired won't be let in."""
    try:
        card.check_validity(datetime.now(UTC))
    except RefusedError as error:
        print_note(f"note: {error}")
