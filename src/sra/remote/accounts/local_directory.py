"""The attributes that this machine knows itself: the account's name and number, and a file for all others.

The full name in ``/etc/passwd`` is not used: on some machines people may change their own (chfn(1)).
"""

from __future__ import annotations

import asyncio
import logging
import pwd
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sra.errors import UsageError
from sra.logs import clean
from sra.remote.accounts.attribute_names import ldap_name
from sra.remote.accounts.directory import Accounts
from sra.remote.accounts.pairing_file import check_account_name
from sra.remote.accounts.watched_file import WatchedFile

MAX_FILE = 4 * 1024 * 1024
"""Bytes of the file of attributes: some 40,000 accounts."""

NOBODY: Accounts = frozenset()

log = logging.getLogger("sra.accounts")

_Index = Mapping[tuple[str, str], Accounts]


class LocalDirectory:
    """The accounts of this machine; ``path`` is the file with their attributes (``attributes.toml``)."""

    name = "this machine"

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path, MAX_FILE, decode)

    async def find(self, attribute: str, value: str) -> Accounts:
        """See ``Directory``; raises ``FileError`` if the file is damaged."""
        written = self._file.current().get((attribute.lower(), value), NOBODY)
        lookup = _PASSWD.get(attribute.lower())
        return written if lookup is None else written | await asyncio.to_thread(lookup, value)


def decode(data: bytes | None) -> _Index:
    """(attribute in small letters, value) -> accounts; raise ``UsageError`` that says what is wrong.

    An account whose entry can't be understood has no attributes, and is named in the log; the others have theirs.
    """
    if data is None:
        return {}
    try:
        people = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{error}. Correct it: until then nobody gets in.") from error
    index: dict[tuple[str, str], Accounts] = {}
    for account, entry in people.items():
        try:
            keys = _keys(account, entry)
        except (UsageError, msgspec.ValidationError) as error:
            log.warning("the attributes of “%s” are not used: %s", clean(account), clean(str(error)))
            continue
        for key in keys:
            index[key] = index.get(key, NOBODY) | {account}
    return index


def _keys(account: str, entry: object) -> list[tuple[str, str]]:
    check_account_name(account)
    attributes = msgspec.convert(entry, dict[str, tuple[str, ...]])
    return [(ldap_name(attribute).lower(), value) for attribute, values in attributes.items() for value in values]


def _named(name: str) -> Accounts:
    try:
        check_account_name(name)
        return frozenset({pwd.getpwnam(name).pw_name}) & {name}
    except (UsageError, KeyError):
        return NOBODY


def _numbered(number: str) -> Accounts:
    try:
        entry = pwd.getpwuid(int(number))
    except (ValueError, KeyError, OverflowError):
        return NOBODY
    return frozenset({entry.pw_name}) if str(entry.pw_uid) == number else NOBODY


_PASSWD: dict[str, Callable[[str], Accounts]] = {"uid": _named, "uidnumber": _numbered}
"""Attribute in small letters -> who has it, according to passwd(5)."""
