"""Accounts in an LDAP directory, only over TLS with a checked certificate.

An entry counts only if its attribute is exactly the value that was asked for: directories compare loosely.
Referrals are not followed.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from sra.errors import UsageError
from sra.identity.certificates import CardCertificate
from sra.paths import DAEMON_USER
from sra.remote.accounts import ldap_messages
from sra.remote.accounts.directory import Accounts, AnswerCache, DirectoryError
from sra.remote.accounts.ldap_connection import FAILURES, Server, connected
from sra.remote.accounts.ldap_messages import LdapEntry, Search
from sra.remote.accounts.pairing_file import check_account_name
from sra.system import files

MAX_ENTRIES = 2
"""Requested entries: two are already too many."""

MAX_QUESTIONS = 8
"""Questions at a time; further ones wait."""

MAX_PASSWORD = 1024
"""Bytes of a password file."""

_CERTIFICATE = "userCertificate;binary"
_OTHERS = 0o007


@dataclass(frozen=True)
class LdapSettings:
    """The servers, the account to authenticate as, and the time limits.

    ``servers`` are tried in order, below ``base``. ``account_attribute``: where an account's name is. Without
    ``bind_name`` the question is anonymous. ``connect_seconds``: for the connection, TLS and the authentication;
    ``search_seconds``: for the answer. Answers are cached for ``cache_seconds``, or ``unknown_seconds`` if there
    was no account.
    """

    servers: tuple[Server, ...]
    base: str
    account_attribute: str = "uid"
    bind_name: str = ""
    password_file: Path | None = None
    connect_seconds: float = 3
    search_seconds: float = 5
    cache_seconds: float = 60
    unknown_seconds: float = 5


class LdapDirectory:
    """The directory of these settings; ``context`` has the trusted authorities of servers."""

    goes_by_names = False
    """A certificate is compared byte for byte."""

    def __init__(self, settings: LdapSettings, context: ssl.SSLContext) -> None:
        self._settings = settings
        self._context = context
        self._answers = AnswerCache(settings.cache_seconds, settings.unknown_seconds)
        self._places = asyncio.Semaphore(MAX_QUESTIONS)

    @property
    def name(self) -> str:
        """The list of its servers."""
        return ", ".join(map(str, self._settings.servers))

    async def find(self, attribute: str, value: str) -> Accounts:
        """See ``Directory``; raises ``DirectoryError``."""
        asked = value.encode()
        return await self._find(attribute, asked, ldap_messages.equal(attribute, asked))

    async def find_certificate(self, card: CardCertificate) -> Accounts:
        """See ``CertificateDirectory``; raises ``DirectoryError``.

        Active Directory compares the bytes, OpenLDAP the serial number and the issuer, so both are asked for.
        """
        conditions = [ldap_messages.equal(_CERTIFICATE, value) for value in (card.der, _exact_assertion(card))]
        return await self._find(_CERTIFICATE, card.der, ldap_messages.any_of(*conditions))

    async def _find(self, attribute: str, value: bytes, condition: bytes) -> Accounts:
        return await self._answers.answer((attribute, value), lambda: self._ask(attribute, value, condition))

    async def _ask(self, attribute: str, value: bytes, condition: bytes) -> Accounts:
        settings = self._settings
        names = (settings.account_attribute, attribute)
        seconds = max(1, int(settings.search_seconds))
        async with self._places:
            entries = await self._search(Search(settings.base, condition, names, MAX_ENTRIES, seconds))
        key = attribute.partition(";")[0].lower()
        matching = [entry for entry in entries if value in entry.attributes.get(key, ())]
        accounts = frozenset(_account(entry, settings.account_attribute) for entry in matching)
        if len(accounts) < len(entries) == MAX_ENTRIES:
            raise DirectoryError(f"several entries have nearly this {attribute}, so it is unknown who else has it")
        return accounts

    async def _search(self, wanted: Search) -> list[LdapEntry]:
        """The entries of the first server that answers; raise ``DirectoryError`` with the problem of each server."""
        problems = []
        for server in self._settings.servers:
            try:
                return await self._search_on(server, wanted)
            except FAILURES as error:
                problems.append(f"{server}: {_reason(error)}")
        raise DirectoryError("; ".join(problems))

    async def _search_on(self, server: Server, wanted: Search) -> list[LdapEntry]:
        settings = self._settings
        password = _password(settings.password_file) if settings.password_file else b""
        async with asyncio.timeout(settings.connect_seconds) as deadline:
            async with connected(server, self._context) as connection:
                if settings.bind_name:
                    await connection.bind(settings.bind_name, password)
                deadline.reschedule(asyncio.get_running_loop().time() + settings.search_seconds)
                return await connection.search(wanted)


def _account(entry: LdapEntry, attribute: str) -> str:
    """The account's name in an entry; raise ``DirectoryError`` unless there is exactly one valid name."""
    values = entry.attributes.get(attribute.lower(), ())
    if len(values) != 1:
        raise DirectoryError(f"{entry.name} has {len(values)} values of {attribute}; an account has one name")
    name = values[0].decode(errors="replace")
    try:
        check_account_name(name)
    except UsageError as error:
        raise DirectoryError(f"{entry.name}: {error}") from error
    return name


def _exact_assertion(card: CardCertificate) -> bytes:
    """The certificate's serial number and issuer, as OpenLDAP's certificateExactMatch needs them (RFC 4523, 2.1)."""
    certificate = x509.load_der_x509_certificate(card.der)
    issuer = certificate.issuer.rfc4514_string().replace('"', '""')
    return f'{{ serialNumber {certificate.serial_number}, issuer rdnSequence:"{issuer}" }}'.encode()


def _password(path: Path) -> bytes:
    """The password in the file; raise ``DirectoryError`` if it is empty: servers take that for an anonymous bind."""
    try:
        content = files.read_trusted(path, MAX_PASSWORD)
    except files.FileError as error:
        raise DirectoryError(
            f"{error} srad reads it as the user {DAEMON_USER}: chown root:{DAEMON_USER}, chmod 640."
        ) from error
    if content is None:
        raise DirectoryError(f"{path}: this file is missing")
    if content.mode & _OTHERS:
        raise DirectoryError(f"{path}: every user can read this password. Run: chmod o= {path}")
    password = content.data.rstrip(b"\r\n")
    if not password:
        raise DirectoryError(f"{path}: it has no password")
    return password


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, EOFError):
        return "it closed the connection"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
