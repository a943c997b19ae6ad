"""The login's files, made again by root from the pairings and the policy whenever one of them changes.

``srad`` has no right to say who may log in. It only stores the certificates that it has seen and that an authority
vouches for; from those, and from root's own files, root computes which account each certificate opens
(docs/decisions/0012-the-logins-map.md). A certificate that no authority vouches for is never added to those that root
paired (docs/decisions/0024-names-that-nobody-vouches-for.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sra.config import DaemonConfig, PolicyConfig, load_daemon_config
from sra.errors import RefusalCode, RefusedError, UsageError
from sra.identity import policy
from sra.identity.certificates import CardCertificate
from sra.paths import Paths
from sra.remote.accounts.pairing import PairingStore
from sra.remote.build import open_finder, open_trust, policy_of
from sra.remote.logins import pam_pkcs11, sssd
from sra.remote.logins.known_cards import KnownCards
from sra.remote.logins.login_paths import MODULE, PROGRAMS, LoginPaths
from sra.remote.logins.pam_pkcs11 import Pkcs11Settings
from sra.remote.logins.sssd import SssdSettings
from sra.remote.logins.stack_files import StackFiles
from sra.remote.revocation import export
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.evidence_store import OfflineEvidenceStore
from sra.system import files
from sra.system.machine import BOOTED

MAX_FILE = 8 * 1024 * 1024
"""Bytes of a mapping, or of SSSD's settings: some 50,000 cards."""
RESTART_SSSD = ("systemctl", "try-restart", "sssd.service")
"""SSSD reads its settings only when it starts."""
SECONDS = 60.0
"""Seconds for asking directories about all cards; the cards that are left then wait for the next refresh."""

log = logging.getLogger("sra.logins")


def paired_cards(paths: Paths) -> KnownCards:
    """The folder of the certificates that root has paired."""
    return KnownCards(paths.etc / "certificates")


def seen_cards(paths: Paths) -> KnownCards:
    """The folder of the certificates that ``srad`` has let in; it belongs to ``srad``."""
    return KnownCards(paths.state / "certificates")


def is_enabled(login: LoginPaths) -> bool:
    """Whether ``sra pam enable`` has set pam_pkcs11 up here; false for a user who can't read its files."""
    try:
        return login.mapping.exists()
    except PermissionError:
        return False


def refresh(paths: Paths) -> bool:
    """Make the login's files again if ``sra pam enable`` has set it up (as root); whether anything changed."""
    login = LoginPaths(paths.root)
    return is_enabled(login) and write(paths, login, load_daemon_config(paths.config))


def write(paths: Paths, login: LoginPaths, config: DaemonConfig) -> bool:
    """Make the login's files; whether anything changed. Raises ``SraError``.

    The lock lets one process do this at a time, so that the last change of a pairing is always in the last mapping.
    """
    for folder in (login.ours, login.trust):
        files.make_folder(folder, 0o755)
        folder.chmod(0o755)  # it may have existed with another mode
    with files.locked(login.mapping):
        accounts = accounts_now(paths, config)
        settings = _policy_settings(login, config)
        trusted = open_trust(paths, config.policy).read()
        max_age = policy_of(config.policy).max_age
        trust = export.login_trust(trusted, Cache(paths.revocation), max_age, datetime.now(UTC))
        export.write_folder(login.trust, trust.folder)
        changed = [
            _replace(login.mapping, pam_pkcs11.mapping_of(accounts), 0o644),
            _replace(login.ours / "lists.pem", trust.lists_file, 0o644),
            _write_configuration(login, settings.pam_pkcs11),
        ]
        if login.sssd.is_dir():
            changed += [
                _replace(login.ours / "trusted.pem", trust.authorities_file, 0o644),
                _write_sssd(login, settings.sssd, accounts),
            ]
        return any(changed)


def withdraw(paths: Paths, account: str) -> None:
    """Remove everything by which a card opens this account at the login (as root); ``refresh`` adds the rest again.

    This reads only the files that it changes, so no problem with another card can delay the removal.
    """
    login = LoginPaths(paths.root)
    if not is_enabled(login):
        return
    with files.locked(login.mapping):
        _replace(login.mapping, pam_pkcs11.mapping_without(text_of(login.mapping), account), 0o644)
        content = files.read(login.sssd_pairings, MAX_FILE)
        if content is not None and _replace(login.sssd_pairings, sssd.without(content.data, account), 0o600):
            _restart_sssd(login)


def mapped_accounts(login: LoginPaths) -> frozenset[str]:
    """Every account that a card opens at the login."""
    return pam_pkcs11.mapped_accounts(text_of(login.mapping))


def text_of(path: Path) -> str:
    """The file's text, with replacements for bytes that are not UTF-8; empty if the file is missing."""
    content = files.read(path, MAX_FILE)
    return "" if content is None else content.data.decode(errors="replace")


def cert_policy(login: LoginPaths, config: DaemonConfig) -> str:
    """The value of pam_pkcs11's ``cert_policy`` under this certificate policy."""
    return _policy_settings(login, config).pam_pkcs11


def _policy_settings(login: LoginPaths, config: DaemonConfig) -> policy.PolicySettings:
    return policy.settings(policy_of(config.policy), Path(login.named(login.ours / "lists.pem")))


def accounts_now(paths: Paths, config: DaemonConfig) -> dict[bytes, str]:
    """Certificate (DER) -> account, for every card that ``srad`` would let in now; no server is asked for evidence."""

    async def decide_all() -> dict[bytes, str]:
        finder = open_finder(paths, config.accounts)
        paired = vouched = _path_check(paths, config.policy)
        if config.policy.certificates == "paired-key":
            vouched = _path_check(paths, msgspec.structs.replace(config.policy, certificates="ca"))
        accounts: dict[bytes, str] = {}
        for folder, check in ((paired_cards(paths), paired), (seen_cards(paths), vouched)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await _decide(folder.cards(), check, finder.find_account, accounts)
        return accounts

    return asyncio.run(decide_all())


async def _decide(
    cards: Iterable[CardCertificate],
    check: Callable[[CardCertificate], Awaitable[object]],
    find_account: Callable[[CardCertificate], Awaitable[str]],
    accounts: dict[bytes, str],
) -> None:
    """Add each card that opens an account to ``accounts`` immediately: a timeout later must not lose it."""
    for card in cards:
        try:
            card.check_validity(datetime.now(UTC))
            await check(card)
            accounts[card.der] = await find_account(card)
        except RefusedError as error:
            log.info("%s opens no account: %s", card.fingerprint, error)
        except Exception:
            log.exception("%s opens no account: it could not be judged", card.fingerprint)


def _path_check(paths: Paths, config: PolicyConfig) -> Callable[[CardCertificate], Awaitable[object]]:
    """The policy's check by the evidence on this machine; no server is asked.

    The login reads its lists itself at each login, but pam_pkcs11 reads only one of them, whatever its scope.
    """
    rules = policy_of(config)
    evidence = OfflineEvidenceStore(Cache(paths.revocation), rules.max_age, rules.timeout)
    checker = PolicyChecker(rules, open_trust(paths, config), evidence)
    return lambda card: checker.check(card, datetime.now(UTC))


def module_of(login: LoginPaths) -> str:
    """The only PKCS #11 module that a login may load: ours, which hides the caller's environment from OpenSC."""
    return login.program(MODULE) or f"/{PROGRAMS}/{MODULE}"


def check_module(login: LoginPaths) -> None:
    """Raise ``UsageError`` if our settings were edited so that a login loads another library as root."""
    text = text_of(login.configuration)
    others = pam_pkcs11.modules_in(text) - {module_of(login)}
    if pam_pkcs11.is_edited(text) and others:
        raise UsageError(
            f"{login.configuration} was edited by hand and names {', '.join(sorted(others))}, which would obey the "
            f"environment of the user who runs su. Put {module_of(login)} in its place, or remove the file."
        )


def _write_configuration(login: LoginPaths, cert_policy: str) -> bool:
    """Replace pam_pkcs11's settings, unless they were edited; in the default file too if a former version used it."""
    text = Pkcs11Settings(module_of(login), login.named(login.trust), login.named(login.mapping), cert_policy).text
    former = login.default_configuration
    is_changed = False
    for path in (login.configuration, *([former] if pam_pkcs11.is_ours(text_of(former)) else [])):
        old = text_of(path)
        if not pam_pkcs11.is_edited(old):
            is_changed |= _replace(path, text.encode(), 0o644)
        elif f"cert_policy = {cert_policy};" not in old:
            log.warning("%s was edited by hand; the policy needs cert_policy = %s", path, cert_policy)
    return is_changed


def forget_unpaired(paths: Paths) -> None:
    """Delete the certificates that root had paired and that are no longer paired (as root)."""
    store, kept = PairingStore(paths.pairings), paired_cards(paths)
    for card in list(kept.cards()):
        try:
            store.find_account(card)
        except RefusedError as error:
            if error.code is RefusalCode.NOT_PAIRED:
                kept.remove(card)


def _write_sssd(login: LoginPaths, verification: str, accounts: dict[bytes, str]) -> bool:
    """Write SSSD's file, or remove it if no authority vouches for the names in certificates."""
    if verification:
        stacks = StackFiles(login)
        # pam_sss, in the password's stack, asks for a card wherever the login comes from, so a service that other
        # machines reach is named only if the administrator has allowed that.
        services = tuple(
            each.name for each in stacks.using_cards() if not each.is_reached or stacks.asks_from_network(each)
        )
        wanted = SssdSettings(verification, login.named(login.ours / "trusted.pem"), services)
        files.make_folder(login.sssd_pairings.parent, 0o711)
        changed = _replace(login.sssd_pairings, sssd.text_of(wanted, accounts), 0o600)
    else:
        changed = login.sssd_pairings.exists()
        login.sssd_pairings.unlink(missing_ok=True)
    if changed:
        _restart_sssd(login)
    return changed


def _restart_sssd(login: LoginPaths) -> None:
    if login.root == Path("/") and BOOTED.is_dir():
        subprocess.run(RESTART_SSSD, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _replace(path: Path, data: bytes, mode: int) -> bool:
    """Replace the file unless it has this content and mode already; whether it was replaced."""
    content = files.read(path, MAX_FILE)
    if content is not None and (content.data, content.mode) == (data, mode):
        return False
    files.replace(path, data, mode)
    return True


def sources(paths: Paths) -> tuple[object, ...]:
    """A value that changes whenever anything changes from which the login's files are made.

    Programs replace files by renaming, which changes the folder's time; people edit in place, so each file counts.
    """
    watched = [paths.etc, paths.trust, seen_cards(paths).path, paired_cards(paths).path, paths.revocation]
    for folder in (paths.etc, paths.trust):
        with contextlib.suppress(OSError):
            watched += sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return tuple((path, _stamp(path)) for path in watched)


def _stamp(path: Path) -> tuple[int, ...]:
    with contextlib.suppress(OSError):
        status = path.lstat()
        return (status.st_ino, 0 if path.is_dir() else status.st_size, status.st_mtime_ns)
    return ()


def refresh_until_true(paths: Paths) -> None:
    """Make the login's files again until nothing has changed in the meantime (as root)."""
    before = None
    while (now := sources(paths)) != before:
        before = now
        refresh(paths)
