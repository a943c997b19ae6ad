"""What says which account a card opens, put together from a remote's settings for ``srad`` and ``sra whois``."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sra.config import AccountsConfig, DirectoryConfig, directory_address
from sra.paths import Paths
from sra.remote.accounts import attribute_mapping
from sra.remote.accounts.account_rules import AccountRules
from sra.remote.accounts.directory import LocalDirectory
from sra.remote.accounts.finder import AccountFinder, Vouching
from sra.remote.accounts.ldap_connection import Server, tls_context
from sra.remote.accounts.ldap_directory import LdapDirectory, LdapSettings
from sra.remote.accounts.pairing import PairingStore
from sra.remote.accounts.sssd_directory import SssdDirectory
from sra.remote.accounts.watched_file import WatchedFile
from sra.remote.revocation.trust_folder import TrustFolder

_NO_LISTS = Path("/nonexistent")
"""Revocation is the certificate policy's matter; here only the authorities count."""


def _clock() -> datetime:
    return datetime.now(UTC)


def open_finder(
    paths: Paths, config: AccountsConfig, host: str = "", now: Callable[[], datetime] = _clock
) -> AccountFinder:
    """The finder of these settings; raise ``UsageError`` if the directory's authorities can't be read.

    ``now``: the time at which authorities have to be valid to vouch for a name.
    """
    name = host or socket.gethostname()
    trust = TrustFolder(paths.trust, _NO_LISTS)
    local = LocalDirectory(paths.attributes)
    ldap = open_directory(config.ldap) if config.ldap else None
    sssd = [SssdDirectory()] if config.sssd else []
    return AccountFinder(
        host=name,
        pairings=PairingStore(paths.pairings, name),
        login=WatchedFile(paths.attribute_mapping, attribute_mapping.MAX_FILE, attribute_mapping.decode),
        directories=(local, ldap) if ldap else (local,),
        certificates=(*([ldap] if ldap and config.ldap and config.ldap.by_certificate else []), *sssd),
        vouching=Vouching(lambda: (trust.current or trust.read()).authorities, now),
        rules=AccountRules(config.allow, config.deny),
    )


def open_directory(config: DirectoryConfig) -> LdapDirectory:
    """The directory of these settings; raise ``UsageError`` if its authorities can't be read."""
    settings = LdapSettings(
        servers=tuple(Server(*directory_address(url)) for url in config.servers),
        base=config.base,
        account_attribute=config.account_attribute,
        bind_name=config.bind_dn,
        password_file=Path(config.password_file) if config.password_file else None,
        connect_seconds=config.connect_seconds,
        search_seconds=config.search_seconds,
        cache_seconds=config.cache_seconds,
        unknown_seconds=config.unknown_seconds,
    )
    return LdapDirectory(settings, tls_context(Path(config.ca_file) if config.ca_file else None))
