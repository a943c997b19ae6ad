"""The parts of a remote, put together from its settings: accounts, certificate policy and license."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sra.config import AccountsConfig, DirectoryConfig, PolicyConfig, directory_address
from sra.errors import RefusedError
from sra.identity.certificates import CardCertificate
from sra.identity.policy import CertificatePolicy, Certificates, PolicyFinding
from sra.paths import Paths
from sra.remote.accounts import attribute_mapping
from sra.remote.accounts.account_rules import AccountRules
from sra.remote.accounts.finder import AccountFinder
from sra.remote.accounts.ldap_connection import Server, tls_context
from sra.remote.accounts.ldap_directory import LdapDirectory, LdapSettings
from sra.remote.accounts.local_directory import LocalDirectory
from sra.remote.accounts.pairing import PairingStore
from sra.remote.accounts.sssd_directory import SssdDirectory
from sra.remote.accounts.vouching import Vouching
from sra.remote.accounts.watched_file import WatchedFile
from sra.remote.license.latest_time import LatestTime
from sra.remote.license.profile import PAYLOAD_TYPE
from sra.remote.license.store import LicensePlaces, LicenseStore
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.evidence_store import EvidenceStore
from sra.remote.revocation.trust_folder import TrustFolder

MANAGED = Path("/Library/Managed Preferences") / f"{PAYLOAD_TYPE}.plist"
"""Where macOS puts the payload of an installed profile (untested on a Mac)."""
_NO_LISTS = Path("/nonexistent")
"""Revocation is the certificate policy's matter; here only the authorities count."""


def _now() -> datetime:
    return datetime.now(UTC)


def open_finder(
    paths: Paths, config: AccountsConfig, host: str = "", now: Callable[[], datetime] = _now
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


def policy_of(config: PolicyConfig) -> CertificatePolicy:
    """What is set, as a value."""
    return CertificatePolicy(
        certificates=Certificates(config.certificates),
        policies=frozenset(config.policies),
        extended_key_usages=frozenset(config.extended_key_usages),
        ask_distribution_points=config.ask_distribution_points,
        ask_ocsp=config.ask_ocsp,
        ocsp_nonce=config.ocsp_nonce,
        max_age=timedelta(hours=config.max_age_hours),
        timeout=float(config.timeout_seconds),
        allow_decrypting_keys=config.allow_decrypting_keys,
    )


def open_trust(paths: Paths, config: PolicyConfig) -> TrustFolder:
    """The authorities and the lists of these settings."""
    return TrustFolder(paths.trust, Path(config.lists) if config.lists else paths.trust)


def open_policy(paths: Paths, config: PolicyConfig) -> PolicyChecker:
    """What checks certificates by these settings."""
    policy = policy_of(config)
    store = EvidenceStore(Cache(paths.revocation), policy.max_age, policy.timeout)
    return PolicyChecker(policy, open_trust(paths, config), store)


def checking(
    paths: Paths, config: PolicyConfig, now: Callable[[], datetime]
) -> Callable[[CardCertificate], Awaitable[None]]:
    """``Admission.check_certificate`` by these settings; what it relies on is kept fresh while the event loop runs.

    ``now`` is never earlier than a time that has passed: a clock that is set back revives no authority and no list.
    """
    checker = open_policy(paths, config)
    checker.start(now)

    async def check(card: CardCertificate) -> None:
        await checker.check(card, now())

    return check


def verdict(
    paths: Paths, config: PolicyConfig, card: CardCertificate
) -> tuple[list[PolicyFinding], RefusedError | None]:
    """What ``srad`` would say of the certificate, rule by rule, and its refusal if it does."""
    checker = open_policy(paths, config)
    try:
        return asyncio.run(checker.explain(card, _now()))
    finally:
        checker.close()


def open_licenses(paths: Paths) -> LicenseStore:
    """The licenses of the remote with these files, for this machine."""
    managed = MANAGED if sys.platform == "darwin" and paths.root == Path("/") else None
    places = LicensePlaces(paths.profiles, issuers_folder(paths), managed)
    return LicenseStore(places, latest_time(paths), socket.gethostname())


def issuers_folder(paths: Paths) -> Path:
    """The folder of the public keys by which licenses are signed."""
    return paths.trust / "license.d"


def latest_time(paths: Paths) -> LatestTime:
    """The latest time that this remote's clock has shown."""
    return LatestTime(paths.state / "latest-time")
