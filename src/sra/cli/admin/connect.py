"""``sra connect``: lend the card in this machine to a remote, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sra.admin.build import ConnectOptions, Shown, UserInterface, stay_connected
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.session import shown_remote
from sra.cards.choose import card_backends, chosen_modules, open_card
from sra.cli.admin.cards import CardsDir, Modules
from sra.cli.console import terminal
from sra.cli.console.options import ConfigDir, examples
from sra.cli.console.output import print_note
from sra.cli.console.pins import PinFd
from sra.cli.console.status_view import StatusView
from sra.cli.console.terminal_person import TerminalPerson, show_code
from sra.config import AdminConfig, load_admin_config
from sra.errors import UsageError
from sra.identity.x509_reading import parse_fingerprint
from sra.logs import clean
from sra.paths import AdminPaths, admin_paths
from sra.piv.keys import Slot
from sra.programs.run import print_error
from sra.system import machine
from sra.transport.known_remotes import DEFAULT_PORT, parse_address

DEFAULT_SLOTS = "9A,9C,9D,retired"
"""9E answers without a PIN, so it is inserted only by who asks for it."""

EXAMPLES = examples("sra connect remote.example.com", "sra connect 192.0.2.7:4116 --card software:alice --slots 9A,9D")


@dataclass(frozen=True)
class CardChoice:
    """The card that the person chose, and where it is looked for; ``pin_fd`` gives its PIN."""

    card: str
    pin_fd: int | None
    modules: list[Path] | None
    cards_dir: Path


RemoteName = Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The remote; the port is 4116 if not given.")]
CardName = Annotated[str, typer.Option(metavar="NAME", help="The card to use, as “sra cards” names it.")]
Slots = Annotated[str, typer.Option(metavar="LIST", help="The keys to insert.")]
Fingerprint = Annotated[
    str | None, typer.Option(metavar="SHA256", help="The remote's fingerprint: trust this one and no other.")
]
CaFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Trust the remotes that this authority (PEM) vouches for.")
]
AssumeYes = Annotated[
    bool, typer.Option("--yes", help="For unattended use: keep the PIN, and answer what the remote asks with yes.")
]
Reconnect = Annotated[bool, typer.Option(help="Come back by itself after a link that broke.")]
PinEntryOption = Annotated[
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
    yes: AssumeYes = False,
    reconnect: Reconnect = True,
    pin_entry: PinEntryOption = PinEntry.PAD,
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
    options = ConnectOptions(
        parse_slots(slots), parse_fingerprint(fingerprint) if fingerprint else None, ca_file, yes, reconnect,
        pin_entry, pin_cache, allow_raw_rsa, Shown.TOO if screen else Shown.NO, view_only, clipboard,
    )  # fmt: skip
    run_connection(remote, CardChoice(card, pin_fd, module, cards_dir), options, config_dir)


def run_connection(remote: str, choice: CardChoice, options: ConnectOptions, config_dir: Path | None) -> None:
    """Stay connected until the person, the remote or an error ends it."""
    machine.keep_memory_private()
    paths = admin_paths(config_dir, os.environ)
    config = load_admin_config(paths.config)
    if config.unattended == "allow" and not terminal.is_there():
        options = replace(options, yes=True)
    with terminal.kept_quiet():
        asyncio.run(_until_interrupted(_connect(remote, choice, options, paths, config)))


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
    remote: str, choice: CardChoice, options: ConnectOptions, paths: AdminPaths, config: AdminConfig
) -> None:
    host, port = parse_address(remote)
    if options.allow_raw_rsa:
        print_note(f"warning: --allow-raw-rsa: if {remote} is hostile, it can be you on every other remote")
    console = Console(stderr=True)
    view = StatusView(console, shown_remote(host, port or DEFAULT_PORT))
    shows_code = console.is_terminal or options.pin_entry is PinEntry.CODE
    front = UserInterface(
        TerminalPerson(view, pin_fd=choice.pin_fd, yes=options.yes),
        view,
        _trusts,
        view.paused,
        (lambda code: show_code(console, code)) if shows_code else (lambda _: None),
        print_error,
    )
    backends = card_backends(choice.cards_dir, chosen_modules(config.pkcs11_modules, choice.modules), print_note)
    card = await open_card(backends, choice.card or config.card)
    try:
        await stay_connected(remote, card, options, paths, config, front)
    finally:
        view.stop()


async def _trusts(remote: str, fingerprint: str) -> bool:
    return await terminal.ask_yes_no(
        f"{remote} is not known yet. Its fingerprint is\n  {fingerprint}\n"
        "(compare it with what “sra identity show” prints there). Trust it?"
    )
