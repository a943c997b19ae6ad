"""Who may use the cards in this machine's readers: where it is activated, root and one group (docs/linux.md)."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable
from pathlib import Path

from sra.remote.activation.steps_linux import PCSC_GROUP


def kept_out(root: Path, accounts: Iterable[str]) -> list[str]:
    """Those of these accounts whose own programs see no card: neither their session nor their locked screen."""
    if root != Path("/"):
        return []
    try:
        group = grp.getgrnam(PCSC_GROUP).gr_gid
    except KeyError:  # not activated, so pcscd is everybody's
        return []
    return [account for account in sorted(accounts) if not _may_use(account, group)]


def advice(accounts: Iterable[str]) -> str:
    """What the first of them has to be told."""
    name = next(iter(accounts))
    return (
        f"{name} is not in the group {PCSC_GROUP}, so a session of {name}'s sees no card: it does not lock when the "
        "card goes, and its locked screen does not open by it"
    )


def remedy(accounts: Iterable[str]) -> str:
    """The command for the first of them, who then has to log in anew."""
    return f"usermod --append --groups {PCSC_GROUP} {next(iter(accounts))}"


def _may_use(account: str, group: int) -> bool:
    try:
        found = pwd.getpwnam(account)
    except KeyError:  # it has gone since
        return True
    return found.pw_uid == 0 or group in os.getgrouplist(account, found.pw_gid)
