"""What the login knows of cards, kept true to the pairings and the policy: by root, whenever one of them changes.

``srad`` has no right to say who may log in. It only leaves the certificates that it has seen; from those, and from
what root has written, root works out again which account each one opens (docs/decisions/0012-the-logins-map.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sra import files, logs
from sra.cli.accounts import open_finder
from sra.cli.policy import open_trust, policy_of
from sra.cli.run import run
from sra.config import DaemonConfig, Paths, PolicyConfig, load_daemon_config
from sra.errors import RefusalCode, RefusedError
from sra.identity import policy
from sra.identity.certificates import CardCertificate
from sra.remote.accounts.pairing import PairingStore
from sra.remote.logins import mapping, marks, settings, sssd
from sra.remote.logins.known_cards import KnownCards
from sra.remote.logins.login_paths import OPENSC, LoginPaths
from sra.remote.logins.settings import Pkcs11Settings
from sra.remote.logins.sssd import SssdSettings
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import State
from sra.remote.revocation import export
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.checker import PolicyChecker
from sra.remote.revocation.shelf import OfflineShelf

MAX_FILE = 8 * 1024 * 1024
"""Bytes of a mapping, or of SSSD's settings: some 50,000 cards."""
SYSTEMD = Path("/run/systemd/system")
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
        is_paired = set_up.vouching is policy.Vouching.PAIRED_CERTIFICATES
        vouching = sssd.trusted_file(accounts) if is_paired else trust.authorities_file
        changed += [_replace(login.ours / "trusted.pem", vouching, 0o644), _write_sssd(login, set_up.sssd, accounts)]
    return any(changed)


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
    check = _path_check(paths, config.policy)
    accounts: dict[bytes, str] = {}
    for folder in (paired_cards(paths), seen_cards(paths)):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                accounts |= await _decide(folder.cards(), check, finder.find_account)
    return accounts


async def _decide(
    cards: Iterable[CardCertificate],
    check: Callable[[CardCertificate], Awaitable[object]],
    find_account: Callable[[CardCertificate], Awaitable[str]],
) -> dict[bytes, str]:
    accounts: dict[bytes, str] = {}
    for card in cards:
        try:
            card.check_validity(datetime.now(UTC))
            await check(card)
            accounts[card.der] = await find_account(card)
        except RefusedError as error:
            log.info("%s opens no account: %s", card.display_name, error)
    return accounts


def _path_check(paths: Paths, config: PolicyConfig) -> Callable[[CardCertificate], Awaitable[object]]:
    """The policy by what is at hand: nobody on the network is asked.

    The login looks into its lists itself when somebody comes, but pam_pkcs11 into one only, whatever that list is for.
    """
    rules = policy_of(config)
    shelf = OfflineShelf(Cache(paths.revocation), rules.max_age, rules.timeout)
    checker = PolicyChecker(rules, open_trust(paths, config), shelf)
    return lambda card: checker.check(card, datetime.now(UTC))


def _write_configuration(login: LoginPaths, cert_policy: str) -> bool:
    """Replace pam_pkcs11's settings, unless somebody has edited ours."""
    content = files.read(login.configuration, MAX_FILE)
    old = "" if content is None else content.data.decode(errors="replace")
    if marks.is_edited(settings.HEAD, old):
        if f"cert_policy = {cert_policy};" not in old:
            log.warning("%s was edited by hand; the policy wants cert_policy = %s", login.configuration, cert_policy)
        return False
    if content is not None and not marks.is_signed(settings.HEAD, old):
        keep(login, content.data)
    module = login.first(OPENSC)
    text = Pkcs11Settings(
        login.named(module) if module else "/usr/lib/opensc-pkcs11.so",
        login.named(login.trust), login.named(login.mapping), cert_policy,
    ).text  # fmt: skip
    return _replace(login.configuration, text.encode(), 0o644)


def forget_unpaired(paths: Paths) -> None:
    """Forget the certificates that root had paired and that are paired no longer (as root)."""
    store, kept = PairingStore(paths.pairings), paired_cards(paths)
    for card in list(kept.cards()):
        try:
            store.find_account(card)
        except RefusedError as error:
            if error.code is RefusalCode.NOT_PAIRED:
                kept.remove(card)


def keep(login: LoginPaths, data: bytes) -> None:
    """Keep the settings of pam_pkcs11 that were there before."""
    files.make_folder(login.before, 0o700)
    files.replace(login.former_configuration, data, 0o600)


def _write_sssd(login: LoginPaths, verification: str, accounts: dict[bytes, str]) -> bool:
    states = StackFiles(login).states()
    services = tuple(service.name for service, state in states.items() if state is not State.OFF)
    wanted = SssdSettings(verification, login.named(login.ours / "trusted.pem"), services)
    files.make_folder(login.sssd_pairings.parent, 0o711)
    changed = _replace(login.sssd_pairings, sssd.text_of(wanted, accounts), 0o600)
    if changed and login.root == Path("/") and SYSTEMD.is_dir():
        subprocess.run(RESTART_SSSD, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return changed


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


def main() -> None:
    """Run ``refresh`` as a program: for ``sra remote run``, and for ``sra-logins.service``."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(_main)
    run(app)


def _main(root: Annotated[Path, typer.Option(help="Where etc/sra and the rest are.")] = Path("/")) -> None:
    """Make the login's files anew from pairings and policy (as root)."""
    os.umask(0o022)
    logs.set_up("warning", sys.stderr)
    paths, before = Paths(root), None
    while (now := sources(paths)) != before:  # and again for what has changed meanwhile
        before = now
        refresh(paths)
