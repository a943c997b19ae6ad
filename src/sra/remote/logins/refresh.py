"""What the login knows of cards, kept true to the pairings and the policy: by root, whenever one of them changes.

``srad`` has no right to say who may log in. It only leaves the certificates that it has seen and that an authority
vouches for; from those, and from what root has written, root works out again which account each one opens
(docs/decisions/0012-the-logins-map.md). What nobody vouches for is never added to what root paired
(docs/decisions/0024-names-that-nobody-vouches-for.md).
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
from sra.remote.logins import mapping, marks, sssd
from sra.remote.logins import pam_pkcs11 as settings
from sra.remote.logins.known_cards import KnownCards
from sra.remote.logins.login_paths import MODULE, PROGRAMS, LoginPaths
from sra.remote.logins.pam_pkcs11 import Pkcs11Settings
from sra.remote.logins.sssd import SssdSettings
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import StackState
from sra.remote.revocation import export
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.evidence_store import OfflineEvidenceStore
from sra.system import files
from sra.system.machine import BOOTED

MAX_FILE = 8 * 1024 * 1024
"""Bytes of a mapping, or of SSSD's settings: some 50,000 cards."""
RESTART_SSSD = ("systemctl", "try-restart", "sssd.service")
"""It reads its settings only when it starts."""
SECONDS = 60.0
"""For asking directories about all cards; whoever is left then has to wait for the next time."""

log = logging.getLogger("sra.logins")


def paired_cards(paths: Paths) -> KnownCards:
    """The certificates that root has paired."""
    return KnownCards(paths.etc / "certificates")


def seen_cards(paths: Paths) -> KnownCards:
    """The certificates that ``srad`` has let in: its own folder."""
    return KnownCards(paths.state / "certificates")


def is_enabled(login: LoginPaths) -> bool:
    """Whether pam_pkcs11 is set up by us here; no for whom its files are closed, who would wait for them in vain."""
    try:
        return login.mapping.exists()
    except PermissionError:
        return False


def refresh(paths: Paths) -> bool:
    """Make the login's files anew, where ``sra pam enable`` has set it up; whether anything changed (as root)."""
    login = LoginPaths(paths.root)
    return is_enabled(login) and write(paths, login, load_daemon_config(paths.config))


def write(paths: Paths, login: LoginPaths, config: DaemonConfig) -> bool:
    """Make the login's files; whether anything changed. Raises ``SraError``.

    One at a time, so that whoever has changed a pairing last also makes the last map.
    """
    for folder in (login.ours, login.trust):
        files.make_folder(folder, 0o755)
        folder.chmod(0o755)  # in case that it was there
    with files.locked(login.mapping):
        return _write(paths, login, config)


def _write(paths: Paths, login: LoginPaths, config: DaemonConfig) -> bool:
    accounts = accounts_now(paths, config)
    set_up = _policy_settings(login, config)
    trusted = open_trust(paths, config.policy).read()
    trust = export.login_trust(trusted, Cache(paths.revocation), policy_of(config.policy).max_age, datetime.now(UTC))
    export.write_folder(login.trust, trust.folder)
    changed = [
        _replace(login.mapping, mapping.text_of(accounts), 0o644),
        _replace(login.ours / "lists.pem", trust.lists_file, 0o644),
        _write_configuration(login, set_up.pam_pkcs11),
    ]
    if login.sssd.is_dir():
        changed += [
            _replace(login.ours / "trusted.pem", trust.authorities_file, 0o644),
            _write_sssd(login, set_up.sssd, accounts),
        ]
    return any(changed)


def withdraw(paths: Paths, account: str) -> None:
    """Take everything away by which a card opens this account at the login (as root); ``refresh`` puts the rest back.

    Nothing is read here but the files that are changed: what may go wrong with other cards comes after it.
    """
    login = LoginPaths(paths.root)
    if not is_enabled(login):
        return
    with files.locked(login.mapping):
        _replace(login.mapping, mapping.without(text_of(login.mapping), account), 0o644)
        content = files.read(login.sssd_pairings, MAX_FILE)
        if content is not None and _replace(login.sssd_pairings, sssd.without(content.data, account), 0o600):
            _restart_sssd(login)


def mapped_accounts(login: LoginPaths) -> frozenset[str]:
    """Every account that some card opens at the login."""
    return mapping.accounts_in(text_of(login.mapping))


def text_of(path: Path) -> str:
    """What the file says, as far as it is text; nothing if it is not there."""
    content = files.read(path, MAX_FILE)
    return "" if content is None else content.data.decode(errors="replace")


def cert_policy(login: LoginPaths, config: DaemonConfig) -> str:
    """What pam_pkcs11 is to be told by ``cert_policy``."""
    return _policy_settings(login, config).pam_pkcs11


def _policy_settings(login: LoginPaths, config: DaemonConfig) -> policy.PolicySettings:
    return policy.settings(policy_of(config.policy), Path(login.named(login.ours / "lists.pem")))


def accounts_now(paths: Paths, config: DaemonConfig) -> dict[bytes, str]:
    """Certificate -> account, as worked out now."""
    return asyncio.run(_accounts(paths, config))


async def _accounts(paths: Paths, config: DaemonConfig) -> dict[bytes, str]:
    """Certificate -> account, for every card that ``srad`` would let in now, by what is at hand."""
    finder = open_finder(paths, config.accounts)
    is_paired_enough = config.policy.certificates == "paired-key"
    paired = vouched = _path_check(paths, config.policy)
    if is_paired_enough:
        vouched = _path_check(paths, msgspec.structs.replace(config.policy, certificates="ca"))
    accounts: dict[bytes, str] = {}
    for folder, check in ((paired_cards(paths), paired), (seen_cards(paths), vouched)):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await _decide(folder.cards(), check, finder.find_account, accounts)
    return accounts


async def _decide(
    cards: Iterable[CardCertificate],
    check: Callable[[CardCertificate], Awaitable[object]],
    find_account: Callable[[CardCertificate], Awaitable[str]],
    accounts: dict[bytes, str],
) -> None:
    """Add each card that opens an account to ``accounts``, at once: a slow directory takes away none before it."""
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
    """The policy by what is at hand: nobody on the network is asked.

    The login looks into its lists itself when somebody comes, but pam_pkcs11 into one only, whatever that list is for.
    """
    rules = policy_of(config)
    shelf = OfflineEvidenceStore(Cache(paths.revocation), rules.max_age, rules.timeout)
    checker = PolicyChecker(rules, open_trust(paths, config), shelf)
    return lambda card: checker.check(card, datetime.now(UTC))


def module_of(login: LoginPaths) -> str:
    """The one PKCS #11 module that a login may load: ours, which takes the caller's environment from OpenSC."""
    return login.program(MODULE) or f"/{PROGRAMS}/{MODULE}"


def check_module(login: LoginPaths) -> None:
    """Raise ``UsageError`` if our settings were edited so that a login loads another library as root."""
    text = text_of(login.configuration)
    others = settings.modules_in(text) - {module_of(login)}
    if marks.is_edited(settings.HEAD, text) and others:
        raise UsageError(
            f"{login.configuration} was edited by hand and names {', '.join(sorted(others))}, which would obey the "
            f"environment of whoever runs su. Put {module_of(login)} in its place, or remove the file."
        )


def _write_configuration(login: LoginPaths, cert_policy: str) -> bool:
    """Replace pam_pkcs11's settings; those in the default file too, where a former version has put ours there."""
    text = Pkcs11Settings(
        module_of(login), login.named(login.trust), login.named(login.mapping), cert_policy
    ).text  # fmt: skip
    former = login.default_configuration
    paths = [login.configuration, *([former] if marks.is_signed(settings.HEAD, text_of(former)) else [])]
    changed = [_write_settings(path, text, cert_policy) for path in paths]
    return any(changed)


def _write_settings(path: Path, text: str, cert_policy: str) -> bool:
    """Replace the file, unless it is ours and was edited."""
    old = text_of(path)
    if not marks.is_edited(settings.HEAD, old):
        return _replace(path, text.encode(), 0o644)
    if f"cert_policy = {cert_policy};" not in old:
        log.warning("%s was edited by hand; the policy wants cert_policy = %s", path, cert_policy)
    return False


def forget_unpaired(paths: Paths) -> None:
    """Forget the certificates that root had paired and that are paired no longer (as root)."""
    store, kept = PairingStore(paths.pairings), paired_cards(paths)
    for card in list(kept.cards()):
        try:
            store.find_account(card)
        except RefusedError as error:
            if error.code is RefusalCode.NOT_PAIRED:
                kept.remove(card)


def _write_sssd(login: LoginPaths, verification: str, accounts: dict[bytes, str]) -> bool:
    """Write SSSD's file, or remove it where no authority vouches for the names in certificates."""
    if verification:
        stacks = StackFiles(login)
        on = [service for service, state in stacks.states().items() if state is not StackState.OFF]
        # pam_sss, in the password's stack, asks for a card wherever the login comes from.
        services = tuple(each.name for each in on if not each.is_reached or stacks.asks_from_network(each))
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
    content = files.read(path, MAX_FILE)
    if content is not None and (content.data, content.mode) == (data, mode):
        return False
    files.replace(path, data, mode)
    return True


def sources(paths: Paths) -> tuple[object, ...]:
    """A value that changes whenever something does that the login's files are made from.

    Where programs write, by renaming, the folder's time tells; where people do, each file's.
    """
    folders = (paths.etc, paths.trust, seen_cards(paths).path, paired_cards(paths).path, paths.revocation)
    edited = [path for folder in (paths.etc, paths.trust) for path in _plain(folder)]
    return tuple((path, _stamp(path)) for path in (*folders, *edited))


def _plain(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return []


def _stamp(path: Path) -> tuple[int, ...]:
    with contextlib.suppress(OSError):
        status = path.lstat()
        return (status.st_ino, 0 if path.is_dir() else status.st_size, status.st_mtime_ns)
    return ()


def refresh_until_true(paths: Paths) -> None:
    """Make the login's files anew, and again for what has changed meanwhile (as root)."""
    before = None
    while (now := sources(paths)) != before:
        before = now
        refresh(paths)
