"""``sra pam watch-removal``: what a session does when its person's card leaves the reader.

It runs in the session, as its account, from an autostart entry that ``sra pam enable`` writes. A lost link empties the
reader as well, so there is nothing else to watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
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
from sra.remote.logins import mapping
from sra.remote.logins import reader_access as card_users
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.refresh import MAX_FILE
from sra.system import files

LOOK_AGAIN = 60_000
"""Milliseconds: a reader that is plugged in is no change of those that are known."""
RETRY = 1.0
"""Seconds, where there is no reader or no smart card service."""
PATIENCE = 5.0
"""Seconds for a program that locks the screen."""

LOCK_HINT = 2.0
"""Seconds after which a locker that logind has asked says that it has locked; most take a tenth."""
LOOK_EVERY = 0.1

XSCREENSAVER = ("xscreensaver-command", "-lock")
LOGIND = ("loginctl", "lock-session")
XDG = ("xdg-screensaver", "lock")

log = logging.getLogger("sra.removal")


def watch(root: Path) -> None:
    """Lock or end this session when its person's card is out ([login] on_removal in srad.toml). Runs until killed."""
    logs.set_up("info", sys.stderr)
    account = pwd.getpwuid(os.getuid()).pw_name
    for name in card_users.kept_out(root, [account]):
        log.warning("%s. Run: %s", card_users.advice([name]), card_users.remedy([name]))
    said = ""
    while True:
        try:
            wait_removed(LoginPaths(root), account)
        except CardError as error:
            log.log(logging.DEBUG if str(error) == said else logging.WARNING, "no card can be watched: %s", error)
            said = str(error)
            time.sleep(RETRY)
        else:
            said = ""
            what = wanted(Paths(root))
            log.info("the card is out: %s", what)
            act(what, os.environ)


def wanted(paths: Paths) -> str:
    """What is set; locking where that can't be read."""
    try:
        return load_daemon_config(paths.config).login.on_removal
    except (SraError, OSError) as error:
        log.warning("%s", error)
        return LoginConfig().on_removal


def act(what: str, environment: Mapping[str, str]) -> None:
    """Lock the screen, end the session, or do nothing."""
    if what == "lock" and not _lock(environment):
        log.error("the screen could not be locked: no screen locker of this session says that it has")
    if what == "log-out":
        session = environment.get("XDG_SESSION_ID", "")
        if not (session and _succeeds(("loginctl", "terminate-session", session))):
            os.kill(os.getsid(0), signal.SIGTERM)


def _lock(environment: Mapping[str, str]) -> bool:
    """Lock by the first locker that does; logind only passes it on, so that it succeeds says nothing."""
    if _succeeds(XSCREENSAVER):
        return True
    session = environment.get("XDG_SESSION_ID") or "self"
    return (_succeeds(LOGIND) and _is_locked(session)) or _succeeds(XDG)


def _is_locked(session: str) -> bool:
    """Whether the session's locker says, in time, that it has locked."""
    deadline = time.monotonic() + LOCK_HINT
    while _output(("loginctl", "show-session", session, "--property=LockedHint", "--value")) != "yes":
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY)
    return True


def wait_removed(login: LoginPaths, account: str) -> None:
    """Return when a card that opens this account was in a reader and is out; raise ``CardError`` without a reader."""
    with pcsc_reader.context() as context:
        while (state := _card_of(login, account)) is None:
            _wait_for_change(context)
        log.info("the card of %s is in %s", account, state.name)
        pcsc_reader.wait_changed(context, state)


def _card_of(login: LoginPaths, account: str) -> ReaderState | None:
    """The reader with a card of this account."""
    states = [state for state in pcsc_reader.list_readers() if state.has_card]
    return next((state for state in states if _account_of(login, state) == account), None)


def _account_of(login: LoginPaths, state: ReaderState) -> str:
    """The account that the card in this reader opens, as the login has it; empty if none."""

    async def read() -> bytes:
        card = await PcscBackend().open(PREFIX + state.name)
        await card.close()
        return card.contents.objects.get(CERTIFICATES[Slot.AUTHENTICATION], b"")

    with contextlib.suppress(CardError, ValueError, OSError, files.FileError):
        content = files.read(login.mapping, MAX_FILE)
        certificate = certificate_in(asyncio.run(read()))
        return mapping.account_of(content.data.decode(), certificate) if content and certificate else ""
    return ""


def _wait_for_change(context: int) -> None:
    """Return when something happens in one of the readers, or after a while."""
    known = [(state.name, _flags(state)) for state in pcsc_reader.list_readers()]
    code, _ = scard.SCardGetStatusChange(context, LOOK_AGAIN, known)
    if code not in {scard.SCARD_S_SUCCESS, scard.SCARD_E_TIMEOUT}:
        pcsc_reader.check(code)


def _flags(state: ReaderState) -> int:
    present = scard.SCARD_STATE_PRESENT if state.has_card else scard.SCARD_STATE_EMPTY
    return int(present | state.changes << 16)


def _succeeds(command: Sequence[str]) -> bool:
    return _output(command) is not None


def _output(command: Sequence[str]) -> str | None:
    """What it says; ``None`` if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
