"""The checks of ``sra doctor`` for cards: virtual readers, OpenSC, the policy, and the account that a card opens."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.backend import PcscBackend
from sra.cards.pcsc.reader import ReaderState
from sra.checks import NotHereError, WrongError
from sra.config import DaemonConfig
from sra.errors import CardError, RefusedError
from sra.identity import certificates
from sra.identity.certificates import CardCertificate
from sra.paths import Paths
from sra.piv.keys import Slot
from sra.piv.objects import CERTIFICATES, certificate_in
from sra.remote.build import open_finder, open_trust, policy_of, verdict
from sra.remote.logins.login_paths import OPENSC
from sra.remote.revocation.export import login_differences

READER = "Secure Remote Access"
"""The beginning of the virtual readers' names (reader/reader.conf.in)."""
TOOLS = ("pkcs11-tool", "opensc-tool")
PATIENCE = 15.0
"""Seconds for OpenSC to look into every reader; a card that is new to it takes it one."""

_SLOT = re.compile(r"Slot [0-9]+ \(0x[0-9a-f]+\): (?P<reader>.*\S)")
_CARD = "token label"


def check_card(paths: Paths, config: DaemonConfig, named: CardCertificate | None) -> str:
    """The account that the card opens, by srad's rules in srad's order; raise ``RefusedError`` if none.

    Without a named card, the 9A certificate of a card in a reader is taken.
    """
    card = named
    if card is None:
        try:
            der = asyncio.run(_read_certificate())
            card = certificates.parse(der) if der else None
        except (CardError, RefusedError, ValueError):
            card = None
    if card is None:
        raise NotHereError
    card.check_validity(datetime.now(UTC))
    _, refusal = verdict(paths, config.policy, card)
    if refusal is not None:
        raise refusal
    account = asyncio.run(open_finder(paths, config.accounts).find_account(card))
    return f"the card whose certificate says “{card.display_name}” opens the account {account}"


async def _read_certificate() -> bytes | None:
    backend = PcscBackend()
    for listing in await backend.find():
        if not listing.problem:
            card = await backend.open(listing.name)
            await card.close()
            return certificate_in(card.contents.objects.get(CERTIFICATES[Slot.AUTHENTICATION], b""))
    return None


def check_policy(paths: Paths, config: DaemonConfig) -> str:
    """What a card's certificate needs; raise ``WrongError`` if the authorities for that are missing or damaged."""
    wanted = config.policy.certificates
    if wanted == "paired-key":
        return "a paired key is enough"
    trusted = open_trust(paths, config.policy).read()
    if trusted.problems:
        raise WrongError(" ".join(map(str, trusted.problems)))
    if not trusted.authorities.anchors:
        raise WrongError(f"“{wanted}” is required, and {paths.trust} has no authority, so nobody gets in.")
    differences = login_differences(trusted, needs_revocation=policy_of(config.policy).needs_revocation)
    return " ".join((f"{wanted}, by {len(trusted.authorities.anchors)} authorities.", *differences))


def check_readers(wanted: int) -> str:
    """How many virtual readers pcscd has; raise ``WrongError`` if there are fewer than wanted."""
    found = len(_virtual_readers())
    if found < wanted:
        raise WrongError(f"pcscd has {found} of {wanted} virtual readers.")
    return f"pcscd has {found} virtual readers"


def check_opensc(places: Sequence[str] = OPENSC) -> str:
    """What OpenSC sees; raise ``WrongError`` if it is missing, or does not see what pcscd has."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    module = next((path for place in places for path in Path("/").glob(place)), None)
    if missing or module is None:
        what = " and ".join(missing) or "opensc-pkcs11.so"
        raise WrongError(
            f"{what} is missing, so no program here can use a card.", "apt-get install opensc opensc-pkcs11"
        )
    before = _readers_if_any()
    slots = slots_in(_list_slots(module))
    steady = before & _readers_if_any()  # a card that comes or goes in the meantime proves nothing
    for reader in sorted(steady, key=lambda reader: reader.name):
        if reader.name not in slots:
            raise WrongError(f"OpenSC does not see the reader {reader.name}.", "systemctl restart pcscd.service")
        if reader.has_card and not slots[reader.name]:
            raise WrongError(f"OpenSC does not know the card in {reader.name}.", "opensc-tool --reader 0 --name")
    cards = sum(reader.has_card for reader in steady)
    return f"{module} sees {len(steady)} virtual readers, {cards} with a card"


def slots_in(text: str) -> dict[str, bool]:
    """Reader -> whether OpenSC knows a card in it, from the output of ``pkcs11-tool --list-slots``."""
    slots: dict[str, bool] = {}
    reader = ""
    for line in text.splitlines():
        if match := _SLOT.match(line):
            reader = match["reader"]
            slots[reader] = slots.get(reader, False)
        elif line.strip().startswith(_CARD):
            slots[reader] = True
    return slots


def _list_slots(module: Path) -> str:
    """The tool's output; its exit status is not checked, since it is 1 without slots, as when pcscd does not run."""
    command = ("pkcs11-tool", "--module", str(module), "--list-slots")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise WrongError(
            f"{module} does not answer within {PATIENCE:.0f} seconds; a login may be waiting for a PIN. Try again."
        ) from error
    if not done.stdout.startswith("Available slots:"):
        raise WrongError(f"{module} can't be used: {done.stderr}", "apt-get install --reinstall opensc-pkcs11")
    return done.stdout


def _virtual_readers() -> frozenset[ReaderState]:
    """The virtual readers that pcscd has; raise ``CardError`` if there is no reader at all."""
    return frozenset(state for state in pcsc_reader.list_readers() if READER in state.name)


def _readers_if_any() -> frozenset[ReaderState]:
    try:
        return _virtual_readers()
    except CardError:
        return frozenset()
