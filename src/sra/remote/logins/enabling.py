"""``sra pam enable``: have services ask for the card, after checking that the change locks nobody out."""

from __future__ import annotations

import pwd
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sra.config import load_daemon_config
from sra.errors import UsageError
from sra.paths import Paths
from sra.remote.logins import refresh, withdrawal
from sra.remote.logins.login_paths import ANNOUNCE, MODULE, OPENSC, PAM_MODULES, LoginPaths
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import SESSIONS, Service, StackRequest, StackState, service_of
from sra.remote.logins.watch import install_units
from sra.system import files

PATIENCE = 10.0
"""Seconds for sudo, which may ask a directory."""

AUTOSTART = """\
# Written by “sra pam enable”, removed by “sra pam disable”; what it does: [login] on_removal in /etc/sra/srad.toml
[Desktop Entry]
Type=Application
Name=Secure Remote Access: removal of the card
Exec={command}
NoDisplay=true
"""


def enable(
    paths: Paths,
    services: Sequence[Service],
    note: Callable[[str], None],
    *,
    card_only: bool = False,
    from_network: bool = False,
    may_lock_out: bool = False,
) -> None:
    """Have these services ask for the card first, all of them or none (as root); tell ``note`` what was done.

    ``may_lock_out`` skips the checks that somebody can still log in. Raises ``UsageError``.
    """
    login = LoginPaths(paths.root)
    announce = _check_modules(login)
    refresh.check_module(login)
    stacks = StackFiles(login)
    is_first = not refresh.is_enabled(login)
    config = load_daemon_config(paths.config)
    refresh.write(paths, login, config)
    try:
        if card_only:
            check_lockout(login, stacks, services, may_lock_out=may_lock_out)
        command, file = f"{announce} {login.named(paths.announce)}", login.named(login.configuration)
        requests = [StackRequest(service, command, file, card_only, from_network) for service in services]
        for request in requests:  # all of them are checked before the first is changed
            stacks.check(request)
        for request in requests:
            takes = "the card only" if card_only else "the card, or the password"
            note(f"{request.service.name} takes {takes}{'' if stacks.enable(request) else ' already'}")
    except UsageError:
        if is_first and not stacks.using_cards():
            withdrawal.withdraw(login, note)
        raise
    refresh.write(paths, login, config)
    # Every session watches for its card; a session without one waits and does nothing.
    command = f"{Path(sys.executable).parent / 'sra'} pam watch-removal"
    files.make_folder(login.autostart.parent, 0o755)
    files.replace(login.autostart, AUTOSTART.format(command=command).encode(), 0o644)
    if paths.root == Path("/"):
        install_units(note)


def check_lockout(login: LoginPaths, stacks: StackFiles, wanted: Sequence[Service], *, may_lock_out: bool) -> None:
    """Raise ``UsageError`` if these services, taking cards only, would let nobody in, or nobody who can repair that."""
    accounts = refresh.mapped_accounts(login)
    if not accounts:
        raise UsageError(
            "No card can log in yet, so this would lock everybody out. Pair one with its certificate first: "
            "sra pair ACCOUNT --certificate FILE"
        )
    if may_lock_out:
        return
    if not any(_may_become_root(login, account) for account in accounts):
        raise UsageError(
            "No card of root's, or of a user who may become root by sudo, can log in, so nobody could repair this "
            "machine by a card. Pair one (sra pair root --certificate FILE), or add --yes."
        )
    left = [service for service in map(service_of, SESSIONS) if service not in wanted]
    if not any(stacks.state(each) in {StackState.OFF, StackState.CARD_OR_PASSWORD} for each in left):
        raise UsageError(
            "Then no password begins a session on this machine any more, and a broken smart card service locks "
            f"everybody out. Leave out one of {', '.join(SESSIONS)} that this machine has, or add --yes."
        )


def _may_become_root(login: LoginPaths, account: str) -> bool:
    """Whether the account is root's, or sudo lets it run a shell as root."""
    try:
        if pwd.getpwnam(account).pw_uid == 0:
            return True
    except KeyError:
        return False
    if login.root != Path("/"):
        return False
    command = ("sudo", "-n", "-U", account, "-l", "/bin/sh")
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _check_modules(login: LoginPaths) -> str:
    """The program that announces a login; raise ``UsageError`` if a module is missing that every login would need."""
    if login.first(PAM_MODULES) is None:
        raise UsageError("pam_pkcs11 is missing. Run: apt-get install libpam-pkcs11")
    if login.first(OPENSC) is None:
        raise UsageError("OpenSC's module is missing. Run: apt-get install opensc-pkcs11")
    announce = login.program(ANNOUNCE)
    if announce is None or login.program(MODULE) is None:
        raise UsageError(f"{ANNOUNCE} or {MODULE} is missing. Run: make -C reader install")
    return announce
