"""``sra pam watch-removal``: what a session does when its user's card leaves the reader.

It runs in the session, as its account, from an autostart entry that ``sra pam enable`` writes. A lost link empties the
reader as well, so there is nothing else to watch. On an activated machine, only root and one group may use the cards in
the readers (docs/linux.md), so an account outside that group is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from smartcard import scard

from sra import logs
from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.backend import PREFIX, PcscBackend
from sra.cards.pcsc.reader import ReaderState
from sra.config import LoginConfig, load_daemon_config
from sra.errors import CardError, SraError
from sra.paths import Paths
from sra.piv.keys import Slot
from sra.piv.objects import CERTIFICATES, certificate_in
from sra.remote.activation.steps_linux import PCSC_GROUP
from sra.remote.logins import pam_pkcs11
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.refresh import MAX_FILE
from sra.system import files

LOOK_AGAIN = 60_000
"""Milliseconds: PC/SC does not report a new reader as a change of the known ones."""
RETRY = 1.0
"""Seconds between two attempts while there is no reader or no smart card service."""
PATIENCE = 5.0
"""Seconds for a program that locks the screen."""
LOCK_HINT = 2.0
"""Seconds in which a locker has to confirm to logind that it has locked; most take a tenth of a second."""
LOOK_EVERY = 0.1

XSCREENSAVER = ("xscreensaver-command", "-lock")
LOGIND = ("loginctl", "lock-session")
XDG = ("xdg-screensaver", "lock")

log = logging.getLogger("sra.removal")


def without_reader_access(root: Path, accounts: Iterable[str]) -> list[str]:
    """The accounts whose own programs, such as their session and their locked screen, see no card."""
    if root != Path("/"):
        return []
    try:
        group = grp.getgrnam(PCSC_GROUP).gr_gid
    except KeyError:  # not activated, so every user may use pcscd
        return []
    found = []
    for account in sorted(accounts):
        with contextlib.suppress(KeyError):  # an account that was deleted needs nothing
            entry = pwd.getpwnam(account)
            if entry.pw_uid != 0 and group not in os.getgrouplist(account, entry.pw_gid):
                found.append(account)
    return found


def access_problem(account: str) -> str:
    """What it means for the account that its programs see no card."""
    return (
        f"{account} is not in the group {PCSC_GROUP}, so {account}'s sessions see no card: they do not lock when the "
        "card is removed, and the card does not unlock their screen"
    )


def access_remedy(account: str) -> str:
    """The command that gives the account access to the readers; it takes effect at the next login."""
    return f"usermod --append --groups {PCSC_GROUP} {account}"


def watch(root: Path) -> None:
    """Lock or end this session when its user's card is removed ([login] on_removal in srad.toml). Runs until killed."""
    logs.set_up("info", sys.stderr)
    account = pwd.getpwuid(os.getuid()).pw_name
    for name in without_reader_access(root, [account]):
        log.warning("%s. Run: %s", access_problem(name), access_remedy(name))
    last_problem = ""
    while True:
        try:
            wait_removed(LoginPaths(root), account)
        except CardError as error:
            log.log(
                logging.DEBUG if str(error) == last_problem else logging.WARNING, "no card can be watched: %s", error
            )
            last_problem = str(error)
            time.sleep(RETRY)
        else:
            last_problem = ""
            action = wanted(Paths(root))
            log.info("the card is out: %s", action)
            act(action, os.environ)


def wanted(paths: Paths) -> str:
    """The configured action; the default, to lock, if the settings can't be read."""
    try:
        return load_daemon_config(paths.config).login.on_removal
    except (SraError, OSError) as error:
        log.warning("%s", error)
        return LoginConfig().on_removal


def act(action: str, environment: Mapping[str, str]) -> None:
    """Lock the screen, end the session, or do nothing."""
    session = environment.get("XDG_SESSION_ID", "")
    if action == "lock" and not _lock(session or "self"):
        log.error("the screen could not be locked: no screen locker of this session confirms that it has locked")
    if action == "log-out" and not (session and _output(("loginctl", "terminate-session", session)) is not None):
        os.kill(os.getsid(0), signal.SIGTERM)


def _lock(session: str) -> bool:
    """Lock by the first locker that works; logind only forwards the request, so it has to confirm the lock."""
    if _output(XSCREENSAVER) is not None:
        return True
    return (_output(LOGIND) is not None and _is_locked(session)) or _output(XDG) is not None


def _is_locked(session: str) -> bool:
    """Whether the session's locker confirms in time that it has locked."""
    deadline = time.monotonic() + LOCK_HINT
    while _output(("loginctl", "show-session", session, "--property=LockedHint", "--value")) != "yes":
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY)
    return True


def wait_removed(login: LoginPaths, account: str) -> None:
    """Wait until a card of this account was inserted and removed; raise ``CardError`` if there is no reader."""
    with pcsc_reader.context() as context:
        while (state := _reader_with_card_of(login, account)) is None:
            known = [(each.name, _flags(each)) for each in pcsc_reader.list_readers()]
            code, _ = scard.SCardGetStatusChange(context, LOOK_AGAIN, known)
            if code not in {scard.SCARD_S_SUCCESS, scard.SCARD_E_TIMEOUT}:
                pcsc_reader.check(code)
        log.info("the card of %s is in %s", account, state.name)
        pcsc_reader.wait_changed(context, state)


def _flags(state: ReaderState) -> int:
    present = scard.SCARD_STATE_PRESENT if state.has_card else scard.SCARD_STATE_EMPTY
    return int(present | state.changes << 16)


def _reader_with_card_of(login: LoginPaths, account: str) -> ReaderState | None:
    states = [state for state in pcsc_reader.list_readers() if state.has_card]
    return next((state for state in states if _account_of(login, state) == account), None)


def _account_of(login: LoginPaths, state: ReaderState) -> str:
    """The account that the card in this reader opens at the login; empty if none."""

    async def read() -> bytes:
        card = await PcscBackend().open(PREFIX + state.name)
        await card.close()
        return card.contents.objects.get(CERTIFICATES[Slot.AUTHENTICATION], b"")

    with contextlib.suppress(CardError, ValueError, OSError, files.FileError):
        content = files.read(login.mapping, MAX_FILE)
        certificate = certificate_in(asyncio.run(read()))
        return pam_pkcs11.mapped_account(content.data.decode(), certificate) if content and certificate else ""
    return ""


def _output(command: Sequence[str]) -> str | None:
    """The command's output; ``None`` if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
