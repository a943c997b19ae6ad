"""What a remote would say of a card: the one that is named, or the one that is in a reader now."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from sra.cards.pcsc.backend import PcscBackend
from sra.checks import NotHereError, WrongError
from sra.config import DaemonConfig
from sra.errors import CardError, RefusedError
from sra.identity import certificates
from sra.identity.certificates import CardCertificate
from sra.paths import Paths
from sra.piv.keys import Slot
from sra.piv.objects import CERTIFICATES, certificate_in
from sra.remote.build import open_finder, open_trust, policy_of, verdict
from sra.remote.revocation.login_differences import login_differences


def check_card(paths: Paths, config: DaemonConfig, named: CardCertificate | None) -> str:
    """The account that the card opens, by srad's questions in srad's order; raise ``RefusedError`` if none."""
    card = named or _card_in_reader()
    if card is None:
        raise NotHereError
    card.check_validity(datetime.now(UTC))
    _, refusal = verdict(paths, config.policy, card)
    if refusal is not None:
        raise refusal
    account = asyncio.run(open_finder(paths, config.accounts).find_account(card))
    return f"the card whose certificate says “{card.display_name}” opens the account {account}"


def check_policy(paths: Paths, config: DaemonConfig) -> str:
    """What a card's certificate needs; raise ``WrongError`` if what that rests on is missing."""
    wanted = config.policy.certificates
    if wanted == "paired-key":
        return "a paired key is enough"
    trusted = open_trust(paths, config.policy).read()
    if trusted.problems:
        raise WrongError(" ".join(map(str, trusted.problems)))
    if not trusted.authorities.anchors:
        raise WrongError(f"“{wanted}” is demanded, and {paths.trust} has no authority: nobody gets in.")
    differences = login_differences(trusted, needs_revocation=policy_of(config.policy).needs_revocation)
    return " ".join((f"{wanted}, by {len(trusted.authorities.anchors)} authorities.", *differences))


def _card_in_reader() -> CardCertificate | None:
    """The 9A certificate of a card that is in a reader now."""
    try:
        der = asyncio.run(_read_certificate())
        return certificates.parse(der) if der else None
    except (CardError, RefusedError, ValueError):
        return None


async def _read_certificate() -> bytes | None:
    backend = PcscBackend()
    for listing in await backend.find():
        if not listing.problem:
            card = await backend.open(listing.name)
            await card.close()
            return certificate_in(card.contents.objects.get(CERTIFICATES[Slot.AUTHENTICATION], b""))
    return None
