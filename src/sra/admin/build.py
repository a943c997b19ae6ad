"""A connection to a remote, put together from the person's settings and wishes: one for every front.

A front is what a person works with, such as the terminal. It brings what differs: who is asked, who is told, and the
words for what goes wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sra.admin import session
from sra.admin.audit_recorder import AuditRecorder, CountingWatcher
from sra.admin.audit_trail import AuditTrail
from sra.admin.events import Watcher
from sra.admin.guard import rules_file
from sra.admin.guard.lending import GuardSettings, LentCard, PauseSwitch
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import Person
from sra.admin.guard.unlocking import Unlocking
from sra.admin.kept_connection import ConnectionSettings, KeptConnection
from sra.admin.screen.sharing import ScreenSharing
from sra.admin.screen.shown import ShownScreen
from sra.admin.screen.viewer import choose
from sra.admin.session_control import SessionControl
from sra.audit import RecordEvent
from sra.cards.base import Card
from sra.config import AdminConfig
from sra.paths import AdminPaths
from sra.piv.keys import Slot
from sra.transport.known_remotes import DEFAULT_PORT, KnownRemotes, parse_address
from sra.transport.tls_trust import TrustPolicy


class Shown(Enum):
    """Whether the remote's screen is shown, and if the connection is there for it alone."""

    NO = 0
    TOO = 1
    ALONE = 2


@dataclass(frozen=True)
class ConnectOptions:
    """What the person chose for this connection.

    ``fingerprint`` and ``ca_file`` replace the question whether a remote is trusted; ``yes`` keeps the PIN as long as
    the connection lasts; ``pin_cache`` (minutes to keep it) and ``clipboard``, if given, go before the settings.
    """

    slots: frozenset[Slot]
    fingerprint: str | None = None
    ca_file: Path | None = None
    yes: bool = False
    reconnect: bool = True
    pin_entry: PinEntry = PinEntry.PAD
    pin_cache: int | None = None
    allow_raw_rsa: bool = False
    shown: Shown = Shown.NO
    view_only: bool = False
    clipboard: bool | None = None


@dataclass(frozen=True)
class UserInterface:
    """What a person works with.

    ``trusts`` asks whether a remote with this fingerprint is trusted; ``asking`` is entered while the PIN and the
    fingerprint are asked; ``show_code`` gets each new session code; ``complain`` what went wrong beside the connection.
    """

    person: Person
    watcher: CountingWatcher
    trusts: Callable[[str, str], Awaitable[bool]]
    asking: Callable[[], AbstractContextManager[None]]
    show_code: Callable[[str], None]
    complain: Callable[[str], None]


async def stay_connected(
    remote: str, card: Card, options: ConnectOptions, paths: AdminPaths, config: AdminConfig, front: UserInterface
) -> None:
    """Lend the card to the remote until the person, the remote or an error ends it; close the card then.

    Raises ``UsageError`` for an address that is none, and what ``KeptConnection.run`` raises.
    """
    try:
        await _stay_connected(remote, card, options, paths, config, front)
    finally:
        await card.close()


async def _stay_connected(
    remote: str, card: Card, options: ConnectOptions, paths: AdminPaths, config: AdminConfig, front: UserInterface
) -> None:
    host, port = parse_address(remote)
    target = session.RemoteEndpoint(host, port or DEFAULT_PORT, _trust(options, paths, config, front.trusts))
    evidence = AuditRecorder(paths.audit, front.watcher, front.complain)
    lender = _lender(card, options, paths, config, front, str(target), evidence)
    unlocking = Unlocking(lender, config.resume_seconds)
    screen = _screen(target, options, config, lender.watcher)
    code = ""

    async def dial(away: float) -> session.AdminSession:
        nonlocal code
        with front.asking():
            await unlocking.was_away(away)
            connected = await session.connect(target, lender, unlocking)
        if lender.code.shown != code:
            code = lender.code.shown
            front.show_code(code)
        if screen is not None:
            screen.begin(connected)
        return connected

    wishes = ConnectionSettings(options.slots, options.reconnect, config.idle_minutes * 60, config.total_minutes * 60)
    staying = KeptConnection(dial, wishes, lender.watcher)
    counting = asyncio.create_task(evidence.keep_counting())
    try:
        async with SessionControl(paths.sessions, staying, lender, str(target), front.complain):
            await (staying.run() if screen is None else screen.beside(staying))
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
        lender.memory.forget()


def _screen(
    target: session.RemoteEndpoint, options: ConnectOptions, config: AdminConfig, watcher: Watcher
) -> ShownScreen | None:
    if options.shown is Shown.NO:
        return None
    clipboard = config.clipboard if options.clipboard is None else options.clipboard
    viewer = choose(config.viewer, view_only=options.view_only, clipboard=clipboard)
    sharing = ScreenSharing(target, viewer, watcher, view_only=options.view_only)
    return ShownScreen(sharing, watcher, is_all=options.shown is Shown.ALONE)


def _lender(
    card: Card,
    options: ConnectOptions,
    paths: AdminPaths,
    config: AdminConfig,
    front: UserInterface,
    remote: str,
    record: RecordEvent,
) -> LentCard:
    minutes = config.pin_cache_minutes if options.pin_cache is None else options.pin_cache
    watcher = AuditTrail(record, remote, front.watcher)
    return LentCard(
        card,
        front.person,
        watcher,
        GuardSettings(options.pin_entry, rules_file.load(paths.rules), options.allow_raw_rsa),
        PinMemory(float("inf") if options.yes else minutes * 60, call_later=asyncio.get_running_loop().call_later),
        PauseSwitch(watcher),
    )


def _trust(
    options: ConnectOptions, paths: AdminPaths, config: AdminConfig, trusts: Callable[[str, str], Awaitable[bool]]
) -> TrustPolicy:
    loop = asyncio.get_running_loop()

    def ask(remote: str, fingerprint: str) -> bool:
        """Called in a thread, which waits for the person."""

        async def answer() -> bool:
            return await trusts(remote, fingerprint)

        return asyncio.run_coroutine_threadsafe(answer(), loop).result()

    ca_file = options.ca_file or (Path(config.ca_file) if config.ca_file else None)
    return TrustPolicy(KnownRemotes(paths.known_remotes), ask, options.fingerprint, ca_file)
