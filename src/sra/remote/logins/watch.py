"""How the login gets to know of cards: ``srad`` leaves what it has seen, and root is called when something changes.

Only certificates that an authority vouches for are left: root would use no other, and a person who makes certificates
for a paired key by the thousand must not displace those of others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Awaitable, Callable

from sra.errors import RefusedError, SraError
from sra.identity.certificates import CardCertificate
from sra.paths import Paths
from sra.remote.logins import mapping
from sra.remote.logins.known_cards import KnownCards
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.refresh import MAX_FILE, is_enabled, seen_cards, sources
from sra.system import files

LOOK_EVERY = 0.1
"""Seconds between two looks at what may have changed, under ``sra remote run``."""
ANYWAY = 3600.0
"""Seconds after which it is done anyway: certificates expire, and lists become stale."""
PATIENCE = 3.0
"""Seconds for which ``srad`` lets an admin wait whose certificate is new to the login."""
REMIND = 1.5
"""Seconds after which it leaves the certificate once more: a service that is just ending may not have seen it."""

log = logging.getLogger("sra.logins")


def remembering(
    paths: Paths,
    find_account: Callable[[CardCertificate], Awaitable[str]],
    vouching: Callable[[CardCertificate], object],
) -> Callable[[CardCertificate], Awaitable[str]]:
    """``find_account`` that leaves the certificate for root to see, and waits a moment until the login knows it.

    ``vouching`` raises ``RefusedError`` for a certificate that no authority vouches for.
    """
    seen, login = seen_cards(paths), LoginPaths(paths.root)

    async def find_and_remember(card: CardCertificate) -> str:
        account = await find_account(card)
        try:
            vouching(card)
        except RefusedError as error:
            log.debug("the login gets to know %s by “sra pair --certificate” only: %s", card.fingerprint, error)
            return account
        try:
            is_new = await asyncio.to_thread(seen.add, card)
        except SraError as error:
            log.warning("the login does not get to know this card: %s", error)
        else:
            if is_new and is_enabled(login):
                await _wait_until_known(seen, login, card)
        return account

    return find_and_remember


async def _wait_until_known(seen: KnownCards, login: LoginPaths, card: CardCertificate) -> None:
    deadline = time.monotonic() + PATIENCE
    remind = time.monotonic() + REMIND
    while (now := time.monotonic()) < deadline:
        if now > remind:
            remind = deadline
            await asyncio.to_thread(seen.add_again, card)
        with contextlib.suppress(SraError):
            content = files.read(login.mapping, MAX_FILE)
            if content is not None and mapping.account_of(content.data.decode(), card.der):
                return
        await asyncio.sleep(LOOK_EVERY / 2)
    log.warning("the login does not know this card yet; is sra-logins.path active?")


async def keep_fresh(paths: Paths) -> None:
    """Start ``refresh`` in a process of its own whenever something changes, until cancelled."""
    known: object = None
    when = 0.0
    while True:
        now = (is_enabled(LoginPaths(paths.root)), *sources(paths))
        if now != known or time.monotonic() > when:
            known, when = now, time.monotonic() + ANYWAY
            if now[0]:
                await _refresh_apart(paths)
        await asyncio.sleep(LOOK_EVERY)


async def _refresh_apart(paths: Paths) -> None:
    command = [
        sys.executable,
        "-P",
        "-c",
        "import sra.programs.sra_logins; sra.programs.sra_logins.main()",
        "--root",
        str(paths.root),
    ]
    refreshing = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    try:
        if await refreshing.wait() != 0:
            log.error("the login's files could not be made anew")
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            refreshing.kill()
        await refreshing.wait()
        raise
