"""The accounts of a Linux machine: the local ones, and those that its name services (SSSD, LDAP) add."""

from __future__ import annotations

import pwd
from dataclasses import dataclass

from sra.errors import UsageError
from sra.remote.accounts.pairing_file import check_account_name

FIRST_PERSON = 1000
"""The lowest number of an account that is a person's (Debian policy 9.2.2); those below belong to the system."""


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
