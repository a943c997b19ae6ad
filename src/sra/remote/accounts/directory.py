"""Directories, which know the accounts that have an attribute with a value; and this machine's own directory.

This machine knows an account's name and number, and a file has all other attributes. The full name in ``/etc/passwd``
is not used: on some machines, users may change their own (chfn(1)).
"""

from __future__ import annotations

import asyncio
import logging
import pwd
import time
import tomllib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from sra.errors import SraError, UsageError
from sra.identity.certificates import CardCertificate
from sra.logs import clean
from sra.remote.accounts.attribute_mapping import ldap_name
from sra.remote.accounts.pairing_file import check_account_name
from sra.remote.accounts.watched_file import WatchedFile

MAX_ANSWERS = 1024
"""Cached answers: more users than connect to one machine within a minute."""

Accounts = frozenset[str]

MAX_FILE = 4 * 1024 * 1024
"""Bytes of the file of attributes: some 40,000 accounts."""

NOBODY: Accounts = frozenset()

log = logging.getLogger("sra.accounts")

_Index = Mapping[tuple[str, str], Accounts]

FIRST_PERSON = 1000
"""The lowest number of an account that is a person's (Debian policy 9.2.2); those below are system accounts."""


class DirectoryError(SraError):
    """The directory gave no reliable answer; the text is for the log."""


class Directory(Protocol):
    """Accounts and their attributes."""

    @property
    def name(self) -> str:
        """Its name for administrators."""

    async def find(self, attribute: str, value: str) -> Accounts:
        """The accounts whose attribute (by its LDAP name) has exactly this value; raise ``SraError`` if unknown."""


class CertificateDirectory(Protocol):
    """Accounts that are found by a certificate as a whole."""

    @property
    def name(self) -> str:
        """Its name for administrators."""

    @property
    def goes_by_names(self) -> bool:
        """Whether it may go by the names in a certificate, so that an authority has to vouch for them."""

    async def find_certificate(self, card: CardCertificate) -> Accounts:
        """The accounts that have this certificate; raise ``SraError`` if unknown."""


class AnswerCache:
    """Answers, cached for ``seconds``, or for ``unknown_seconds`` without an account; errors are never cached."""

    def __init__(self, seconds: float, unknown_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._unknown_seconds = unknown_seconds
        self._clock = clock
        self._answers: OrderedDict[Hashable, tuple[float, Accounts]] = OrderedDict()

    async def answer(self, question: Hashable, ask: Callable[[], Awaitable[Accounts]]) -> Accounts:
        """The cached answer, or that of ``ask``."""
        known = self._answers.get(question)
        if known is not None and self._clock() < known[0]:
            return known[1]
        self._answers.pop(question, None)
        accounts = await ask()
        good_for = self._seconds if accounts else self._unknown_seconds
        self._answers[question] = (self._clock() + good_for, accounts)
        while len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return accounts


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
    """(attribute in small letters, value) -> accounts; raise ``UsageError`` if the file is damaged.

    An account whose entry can't be understood has no attributes, and the log names it; the others have theirs.
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
"""Attribute in small letters -> the accounts that have a value of it, according to passwd(5)."""


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
