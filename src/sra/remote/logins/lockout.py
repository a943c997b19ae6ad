"""Whether somebody would still get in, and become root, when services take cards only."""

from __future__ import annotations

import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sra.errors import UsageError
from sra.remote.logins import refresh as logins
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.services import SESSIONS, Service, service_of
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import StackState

PATIENCE = 10.0
"""Seconds for sudo, which may ask a directory."""


def check(login: LoginPaths, stacks: StackFiles, wanted: Sequence[Service], *, yes: bool) -> None:
    """Raise ``UsageError`` if nobody could get in any more, or nobody could mend it, once these take cards only."""
    accounts = logins.mapped_accounts(login)
    if not accounts:
        raise UsageError(
            "No card could log in yet, so nobody could. Pair one with its certificate first: "
            "sra pair ACCOUNT --certificate FILE"
        )
    if yes:
        return
    if not any(may_become_root(login, account) for account in accounts):
        raise UsageError(
            "No card of root's, or of somebody who may become root by sudo, could log in; so nobody could mend this "
            "machine by a card. Pair one (sra pair root --certificate FILE), or say --yes."
        )
    if not ways_left(stacks, wanted):
        raise UsageError(
            "Then no password begins a session on this machine any more, and a broken smart card service locks "
            f"everybody out. Leave one of {', '.join(SESSIONS)} that this machine has, or say --yes."
        )


def ways_left(stacks: StackFiles, wanted: Sequence[Service]) -> list[str]:
    """The services that begin a session and still take a password then, as far as this machine has them."""
    services = [service_of(name) for name in SESSIONS]
    left = [service for service in services if service not in wanted]
    return [each.name for each in left if stacks.state(each) in {StackState.OFF, StackState.CARD_OR_PASSWORD}]


def may_become_root(login: LoginPaths, account: str) -> bool:
    """Whether the account is root's, or sudo lets it run a shell as root."""
    try:
        if pwd.getpwnam(account).pw_uid == 0:
            return True
    except KeyError:
        return False
    return login.root == Path("/") and _sudo_lets(account)


def _sudo_lets(account: str) -> bool:
    command = ("sudo", "-n", "-U", account, "-l", "/bin/sh")
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
