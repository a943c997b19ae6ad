"""The accounts of a Linux machine: the local ones, and those that its name services (SSSD, LDAP) add."""

from __future__ import annotations

import asyncio
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sra.errors import UsageError
from sra.remote.accounts.directory import DirectoryError
from sra.remote.accounts.pairing_file import check_account_name

FIRST_PERSON = 1000
"""The lowest number of an account that is a person's (Debian policy 9.2.2); those below belong to the system."""

NAME_SERVICE_SECONDS = 10.0
"""How long the machine's name services may take: SSSD gives up on a server after six (sssd.conf(5))."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class LocalAccount:
    """An account that can log in on this machine."""

    name: str
    uid: int


def find_local(name: str) -> LocalAccount:
    """The account of this name; raise ``UsageError`` if this machine has none."""
    check_account_name(name)
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise UsageError(f"This machine has no account {name}. Create it first, or check the spelling.") from error
    return LocalAccount(entry.pw_name, entry.pw_uid)


async def ask_name_services(ask: Callable[[str], _T], name: str) -> _T:
    """What ``ask(name)`` returns, in a thread, since it may have to wait; raise ``DirectoryError`` if for too long."""
    try:
        async with asyncio.timeout(NAME_SERVICE_SECONDS):
            return await asyncio.to_thread(ask, name)
    except TimeoutError as error:
        raise DirectoryError("the name services of this machine (nsswitch.conf) do not answer in time") from error
