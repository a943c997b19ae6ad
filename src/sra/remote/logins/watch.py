"""How the login learns of cards: ``srad`` stores what it has seen, and root is called when something changes.

``srad`` only stores certificates that an authority vouches for: root would use no other, and a user who makes
thousands of certificates for a paired key must not displace those of others. Where systemd runs, units of it watch the
files and call root; under ``sra remote run``, ``keep_fresh`` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path

from sra.errors import RefusedError, SraError
from sra.identity.certificates import CardCertificate
from sra.paths import Paths
from sra.remote.logins import pam_pkcs11
from sra.remote.logins.known_cards import KnownCards
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.refresh import MAX_FILE, is_enabled, seen_cards, sources
from sra.system import files
from sra.system.machine import BOOTED

LOOK_EVERY = 0.1
"""Seconds between two checks for changes, under ``sra remote run``."""
REFRESH_AFTER = 3600.0
"""Seconds after which the files are made again without a change: certificates expire, and lists become stale."""
PATIENCE = 3.0
"""Seconds for which ``srad`` makes an admin wait whose certificate is new to the login."""
REMIND = 1.5
"""Seconds after which ``srad`` writes the certificate once more: a service that was just ending may have missed it."""

SERVICE = "sra-logins.service"
STARTED = ("sra-logins.path", "sra-logins.timer")
"""The units that are enabled; they start the service."""
UNITS = Path("/etc/systemd/system")
MAX_UNIT = 64 * 1024

log = logging.getLogger("sra.logins")


def remembering(
    paths: Paths,
    find_account: Callable[[CardCertificate], Awaitable[str]],
    vouching: Callable[[CardCertificate], object],
) -> Callable[[CardCertificate], Awaitable[str]]:
    """``find_account`` that also stores the certificate for root, and waits a moment until the login knows it.

    ``vouching`` raises ``RefusedError`` for a certificate that no authority vouches for.
    """
    seen, login = seen_cards(paths), LoginPaths(paths.root)

    async def find_and_remember(card: CardCertificate) -> str:
        account = await find_account(card)
        try:
            vouching(card)
        except RefusedError as error:
            log.debug("the login learns of %s only by “sra pair --certificate”: %s", card.fingerprint, error)
            return account
        try:
            is_new = await asyncio.to_thread(seen.add, card)
        except SraError as error:
            log.warning("the login does not learn of this card: %s", error)
        else:
            if is_new and is_enabled(login):
                await _wait_until_known(seen, login, card)
        return account

    return find_and_remember


async def _wait_until_known(seen: KnownCards, login: LoginPaths, card: CardCertificate) -> None:
    """Wait until the login's mapping has the card, at most ``PATIENCE`` seconds."""
    deadline = time.monotonic() + PATIENCE
    remind = time.monotonic() + REMIND
    while (now := time.monotonic()) < deadline:
        if now > remind:
            remind = deadline
            await asyncio.to_thread(seen.add_again, card)
        with contextlib.suppress(SraError):
            content = files.read(login.mapping, MAX_FILE)
            if content is not None and pam_pkcs11.mapped_account(content.data.decode(), card.der):
                return
        await asyncio.sleep(LOOK_EVERY / 2)
    log.warning("the login does not know this card yet; is sra-logins.path active?")


async def keep_fresh(paths: Paths) -> None:
    """Run ``refresh`` in a process of its own whenever something changes, until cancelled."""
    known: object = None
    when = 0.0
    while True:
        now = (is_enabled(LoginPaths(paths.root)), *sources(paths))
        if now != known or time.monotonic() > when:
            known, when = now, time.monotonic() + REFRESH_AFTER
            if now[0]:
                await _run_refresh(paths)
        await asyncio.sleep(LOOK_EVERY)


async def _run_refresh(paths: Paths) -> None:
    """Run the program that refreshes the login's files; kill it if this is cancelled."""
    code = "import sra.programs.sra_logins; sra.programs.sra_logins.main()"
    command = [sys.executable, "-P", "-c", code, "--root", str(paths.root)]
    refreshing = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    try:
        if await refreshing.wait() != 0:
            log.error("the login's files could not be refreshed")
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            refreshing.kill()
        await refreshing.wait()
        raise


def install_units(note: Callable[[str], None]) -> None:
    """Install and start the units if systemd runs; tell ``note`` what failed."""
    if not BOOTED.is_dir():
        return
    if missing := outdated_units():
        for name, text in missing.items():
            files.replace(UNITS / name, text, 0o644)
        _systemctl(note, "daemon-reload")
    _systemctl(note, "enable", "--now", *STARTED)


def renew_units(note: Callable[[str], None]) -> None:
    """Replace another version's units, which name programs that may be gone, and catch up at once; if there are any."""
    if (UNITS / SERVICE).exists() and outdated_units():
        install_units(note)
        _systemctl(note, "start", SERVICE)


def outdated_units() -> dict[str, bytes]:
    """The units that are missing, or differ from this version's: name -> this version's text."""
    found = {name: files.read(UNITS / name, MAX_UNIT) for name in (SERVICE, *STARTED)}
    current = {name: content.data for name, content in found.items() if content is not None}
    return {name: text for name, text in unit_files(sys.executable).items() if current.get(name) != text}


def unit_files(python: str) -> dict[str, bytes]:
    """Name -> unit, for a Python that has this product."""
    folder = resources.files(__package__).joinpath("files")
    texts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in (SERVICE, *STARTED)}
    return {name: text.replace("@PYTHON@", python).encode() for name, text in texts.items()}


def remove_units(note: Callable[[str], None]) -> None:
    """Stop and remove the units if they are installed; tell ``note`` what failed."""
    units = [UNITS / name for name in (SERVICE, *STARTED)]
    if not any(unit.exists() for unit in units):
        return
    _systemctl(note, "disable", *STARTED)
    if BOOTED.is_dir():
        _systemctl(note, "stop", *STARTED, SERVICE)
    for unit in units:
        unit.unlink(missing_ok=True)
    if BOOTED.is_dir():
        _systemctl(note, "daemon-reload")


def _systemctl(note: Callable[[str], None], *arguments: str) -> None:
    command = ("systemctl", *arguments)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        note(f"note: “{' '.join(command)}” failed: {' '.join(done.stderr.split())}")
