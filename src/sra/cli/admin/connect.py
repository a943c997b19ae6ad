"""``sra connect``: lend the card in this machine to a remote, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sra.admin import session
from sra.admin.audit_trail import AuditTrail, Record
from sra.admin.events import Watcher
from sra.admin.evidence import Evidence
from sra.admin.guard.lending import Lender, Switch, Terms
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.unlocking import Unlocking
from sra.admin.reconnect import Staying, Wishes
from sra.admin.screen.sharing import ScreenSharing
from sra.admin.screen.shown import Screen
from sra.admin.screen.viewer import choose
from sra.admin.session_control import SessionControl
from sra.cards.base import Card, CardBackend
from sra.cli.admin import rules
from sra.cli.admin.card_choice import open_card
from sra.cli.admin.cards import CardsDir, Modules, card_backends, chosen_modules
from sra.cli.console import terminal
from sra.cli.console.options import ConfigDir, examples
from sra.cli.console.output import print_note
from sra.cli.console.pins import PinFd
from sra.cli.console.status_view import StatusView
from sra.cli.console.terminal_person import TerminalPerson, show_code
from sra.config import AdminConfig, load_admin_config
from sra.errors import UsageError
from sra.identity.fingerprints import parse_fingerprint
from sra.logs import clean
from sra.paths import AdminPaths, admin_paths
from sra.piv.keys import Slot
from sra.system import hardening
from sra.transport.known_remotes import DEFAULT_PORT, KnownRemotes, parse_address
from sra.transport.tls_trust import TrustPolicy

DEFAULT_SLOTS = "9A,9C,9D,retired"
"""9E answers without a PIN, so it is inserted only by who asks for it."""

EXAMPLES = examples("sra connect remote.example.com", "sra connect 192.0.2.7:4116 --card software:alice --slots 9A,9D")


class Shown(Enum):
    """Whether the remote's screen is shown, and if the connection is there for it alone."""

    NO = 0
    TOO = 1
    ALONE = 2


@dataclass(frozen=True)
class Options:
    """What the person chose."""

    card: str
    slots: frozenset[Slot]
    pin_fd: int | None
    fingerprint: str | None
    ca_file: Path | None
    yes: bool
    reconnect: bool
    pin_entry: PinEntry
    pin_cache: int | None
    allow_raw_rsa: bool
    shown: Shown = Shown.NO
    view_only: bool = False
    clipboard: bool | None = None


RemoteName = Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The remote; the port is 4116 if not given.")]
CardName = Annotated[str, typer.Option(metavar="NAME", help="The card to use, as “sra cards” names it.")]
Slots = Annotated[str, typer.Option(metavar="LIST", help="The keys to insert.")]
Fingerprint = Annotated[
    str | None, typer.Option(metavar="SHA256", help="The remote's fingerprint: trust this one and no other.")
]
CaFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Trust the remotes that this authority (PEM) vouches for.")
]
Yes = Annotated[
    bool, typer.Option("--yes", help="For unattended use: keep the PIN, and answer what the remote asks with yes.")
]
Reconnect = Annotated[bool, typer.Option(help="Come back by itself after a link that broke.")]
Entry = Annotated[
    PinEntry,
    typer.Option(
        help="Where the PIN is given: here, the remote has a PIN pad (pad); nowhere, a session code is typed there "
        "(code); or there, and it is sent to the card (forward)."
    ),
]
PinCache = Annotated[
    int | None, typer.Option(metavar="MINUTES", min=0, max=10080, help="Keep the PIN for the pad, after a yes.")
]
RawRsa = Annotated[
    bool,
    typer.Option("--allow-raw-rsa", help="Sign any RSA block. A hostile remote can then be you on every other one."),
]
Clipboard = Annotated[
    bool | None,
    typer.Option(
        "--clipboard/--no-clipboard",
        help="Share the clipboard with the remote's screen, both ways: it sees what you copy. (Default: no.)",
    ),
]
ViewOnly = Annotated[bool, typer.Option("--view-only", help="Watch the screen; neither keys nor clicks are sent.")]


def connect(
    remote: RemoteName,
    *,
    card: CardName = "",
    slots: Slots = DEFAULT_SLOTS,
    pin_fd: PinFd = None,
    fingerprint: Fingerprint = None,
    ca_file: CaFile = None,
    yes: Yes = False,
    reconnect: Reconnect = True,
    pin_entry: Entry = PinEntry.PAD,
    pin_cache: PinCache = None,
    allow_raw_rsa: RawRsa = False,
    screen: Annotated[bool, typer.Option("--screen", help="Show the remote's screen too.")] = False,
    view_only: ViewOnly = False,
    clipboard: Clipboard = None,
    module: Modules = None,
    cards_dir: CardsDir,
    config_dir: ConfigDir = None,
) -> None:
    """Insert the card of this machine into a remote's reader, and keep it there until Ctrl-C.

    The remote's programs then see the card. Each use of a key comes back to this machine; the PIN stays here.
    """
    options = Options(
        card, parse_slots(slots), pin_fd, parse_fingerprint(fingerprint) if fingerprint else None,
        ca_file, yes, reconnect, pin_entry, pin_cache, allow_raw_rsa,
        Shown.TOO if screen else Shown.NO, view_only, clipboard,
    )  # fmt: skip
    run_connection(remote, options, module, cards_dir, config_dir)


def run_connection(
    remote: str, options: Options, module: list[Path] | None, cards_dir: Path, config_dir: Path | None
) -> None:
    """Stay connected until the person, the remote or an error ends it."""
    hardening.keep_memory_private()
    paths = admin_paths(config_dir, os.environ)
    config = load_admin_config(paths.config)
    backends = card_backends(cards_dir, chosen_modules(config, module))
    if config.unattended == "allow" and not terminal.is_there():
        options = replace(options, yes=True)
    with terminal.kept_quiet():
        asyncio.run(_until_interrupted(_connect(remote, options, paths, config, backends)))


def parse_slots(text: str) -> frozenset[Slot]:
    """The slots of a list such as ``9A,9D,retired``; raise ``UsageError`` for anything else."""
    slots: set[Slot] = set()
    for word in filter(None, (part.strip().upper() for part in text.split(","))):
        if word == "RETIRED":
            slots |= {slot for slot in Slot if slot.is_retired}
            continue
        try:
            slots.add(Slot(int(word, 16)))
        except ValueError:
            known = "9A, 9C, 9D, 9E, 82 to 95, or “retired” for all of the latter"
            raise UsageError(f"“{clean(word)}” is no slot of a PIV card. There are {known}.") from None
    if not slots:
        raise UsageError("No slot is to be inserted: name at least one, such as --slots 9A.")
    return frozenset(slots)


async def _until_interrupted(work: Awaitable[None]) -> None:
    """Do the work; Ctrl-C, SIGTERM and a closed terminal end it in order: the card is ejected first."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if task.cancelled():
        print_note("disconnected")
        return
    task.result()


async def _connect(
    remote: str, options: Options, paths: AdminPaths, config: AdminConfig, backends: dict[str, CardBackend]
) -> None:
    host, port = parse_address(remote)
    if options.allow_raw_rsa:
        print_note(f"warning: --allow-raw-rsa: if {remote} is hostile, it can be you on every other remote")
    target = session.Remote(host, port or DEFAULT_PORT, _trust(options, paths, config))
    console = Console(stderr=True)
    view = StatusView(console, str(target))
    evidence = Evidence(paths.audit, view)
    lender = _lender(
        await open_card(backends, options.card or config.card),
        options,
        paths,
        config,
        view,
        str(target),
        evidence,
    )
    unlocking = Unlocking(lender, config.resume_seconds)
    screen = _screen(target, options, config, lender.watcher)
    shows_code = console.is_terminal or options.pin_entry is PinEntry.CODE

    code = ""

    async def dial(away: float) -> session.Session:
        nonlocal code
        with view.paused():  # the PIN and the fingerprint are asked here
            await unlocking.was_away(away)
            connected = await session.connect(target, lender, unlocking)
        if shows_code and lender.code.shown != code:
            code = lender.code.shown
            show_code(console, code)
        if screen is not None:
            screen.begin(connected)
        return connected

    wishes = Wishes(options.slots, options.reconnect, config.idle_minutes * 60, config.total_minutes * 60)
    staying = Staying(dial, wishes, lender.watcher)
    counting = asyncio.create_task(evidence.keep_counting())
    try:
        async with SessionControl(paths.sessions, staying, lender, str(target)):
            await (staying.run() if screen is None else screen.beside(staying))
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
        view.stop()
        lender.memory.forget()
        await lender.card.close()


def _screen(target: session.Remote, options: Options, config: AdminConfig, watcher: Watcher) -> Screen | None:
    if options.shown is Shown.NO:
        return None
    clipboard = config.clipboard if options.clipboard is None else options.clipboard
    viewer = choose(config.viewer, view_only=options.view_only, clipboard=clipboard)
    sharing = ScreenSharing(target, viewer, watcher, view_only=options.view_only)
    return Screen(sharing, watcher, is_all=options.shown is Shown.ALONE)


def _lender(
    card: Card, options: Options, paths: AdminPaths, config: AdminConfig, view: StatusView, remote: str, record: Record
) -> Lender:
    minutes = config.pin_cache_minutes if options.pin_cache is None else options.pin_cache
    watcher = AuditTrail(record, remote, view)
    return Lender(
        card,
        TerminalPerson(view, pin_fd=options.pin_fd, yes=options.yes),
        watcher,
        Terms(options.pin_entry, rules.load(paths.rules), options.allow_raw_rsa),
        PinMemory(float("inf") if options.yes else minutes * 60, call_later=asyncio.get_running_loop().call_later),
        Switch(watcher),
    )


def _trust(options: Options, paths: AdminPaths, config: AdminConfig) -> TrustPolicy:
    loop = asyncio.get_running_loop()

    def ask(remote: str, fingerprint: str) -> bool:
        text = (
            f"{remote} is not known yet. Its fingerprint is\n  {fingerprint}\n"
            "(compare it with what “sra identity show” prints there). Trust it?"
        )
        return asyncio.run_coroutine_threadsafe(terminal.ask_yes_no(text), loop).result()

    ca_file = options.ca_file or (Path(config.ca_file) if config.ca_file else None)
    return TrustPolicy(KnownRemotes(paths.known_remotes), ask, options.fingerprint, ca_file)
