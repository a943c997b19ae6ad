"""``sra connect``: lend the card in this machine to a remote, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sra.admin import session, staying
from sra.admin.audit_trail import AuditTrail
from sra.admin.cards.base import Card, CardBackend
from sra.admin.guard import KnownPin
from sra.admin.staying import Wishes
from sra.audit import Audit, AuditError
from sra.cli import terminal
from sra.cli.cards import CardsDir, card_backends, find_cards
from sra.cli.options import ConfigDir, examples
from sra.cli.output import print_error, print_note
from sra.cli.pins import PinFd, read_pin
from sra.cli.status_view import StatusView
from sra.config import AdminConfig, AdminPaths, admin_paths, load_admin_config
from sra.errors import NoCardError, PinBlockedError, PinWrongError, UsageError
from sra.identity.fingerprints import parse_fingerprint
from sra.logs import clean
from sra.piv.keys import Slot
from sra.transport.known_remotes import DEFAULT_PORT, KnownRemotes, parse_address
from sra.transport.tls_trust import TrustPolicy

DEFAULT_SLOTS = "9A,9C,9D,retired"
"""9E answers without a PIN, so it is inserted only by who asks for it."""

EXAMPLES = examples("sra connect remote.example.com", "sra connect 192.0.2.7:4116 --card software:alice --slots 9A,9D")


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
    pin_pad: bool


def connect(
    remote: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The remote; the port is 4116 if not given.")],
    *,
    card: Annotated[str, typer.Option(metavar="NAME", help="The card to use, as “sra cards” names it.")] = "",
    slots: Annotated[str, typer.Option(metavar="LIST", help="The keys to insert.")] = DEFAULT_SLOTS,
    pin_fd: PinFd = None,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="SHA256", help="The remote's fingerprint: trust this one and no other.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trust the remotes that this authority (PEM) vouches for.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Answer the PIN pad's questions with yes, unattended.")] = False,
    reconnect: Annotated[bool, typer.Option(help="Come back by itself after a link that broke.")] = True,
    pin_pad: Annotated[bool, typer.Option(help="Offer a PIN pad, so that no PIN is typed on the remote.")] = True,
    cards_dir: CardsDir,
    config_dir: ConfigDir = None,
) -> None:
    """Insert the card of this machine into a remote's reader, and keep it there until Ctrl-C.

    The remote's programs then see the card. Each use of a key comes back to this machine; the PIN stays here.
    """
    paths = admin_paths(config_dir, os.environ)
    options = Options(
        card, parse_slots(slots), pin_fd, parse_fingerprint(fingerprint) if fingerprint else None,
        ca_file, yes, reconnect, pin_pad,
    )  # fmt: skip
    asyncio.run(_until_interrupted(_connect(remote, options, paths, load_admin_config(paths.config), cards_dir)))


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


async def _connect(remote: str, options: Options, paths: AdminPaths, config: AdminConfig, cards_dir: Path) -> None:
    host, port = parse_address(remote)
    target = session.Remote(host, port or DEFAULT_PORT, _trust(options, paths, config))
    backends = card_backends(cards_dir)
    card = await _open_card(backends, options.card or config.card)
    view = StatusView(Console(stderr=True), str(target))
    watcher = AuditTrail(_recorder(paths.audit), str(target), view)
    pins = AskedPin(options.pin_fd)
    confirm = _confirm(options, view, str(target))

    async def dial() -> session.Session:
        view.stop()  # the PIN and the fingerprint are asked here
        connected = await session.connect(target, card, pins, watcher, confirm)
        view.start()
        return connected

    try:
        await staying.stay(dial, Wishes(options.slots, options.pin_pad, options.reconnect), watcher)
    finally:
        view.stop()
        pins.forget()
        await card.close()


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


async def _open_card(backends: dict[str, CardBackend], name: str) -> Card:
    """The card of that name; without a name, the only one that can be used."""
    if not name:
        name = await _only_card(backends)
    for prefix, backend in backends.items():
        if name.startswith(prefix):
            return await backend.open(name)
    raise UsageError(f"“{clean(name)}” is no card's name. “sra cards” shows the names.")


async def _only_card(backends: dict[str, CardBackend]) -> str:
    listings = await find_cards(backends)
    usable = [listing.name for listing in listings if not listing.problem]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise UsageError(f"There are several cards: choose one with --card. There are: {', '.join(usable)}.")
    problems = " ".join(listing.problem for listing in listings) or "Insert one, or make one: sra softcard create NAME."
    raise NoCardError(f"There is no card to connect with. {problems}")


class AskedPin:
    """The PIN, asked once and then known for as long as the command runs."""

    def __init__(self, pin_fd: int | None) -> None:
        self._pin_fd = pin_fd
        self._known: KnownPin | None = None

    async def known_pin(self, card: Card, remote: str) -> KnownPin:
        """The PIN, once the card has said that it is right; a person may try again while tries are left."""
        while self._known is None:
            remaining = await card.attempts_remaining()
            if remaining == 0:
                raise PinBlockedError
            pin = await self._ask(card, remote, remaining)
            try:
                await card.verify_pin(pin)
            except PinWrongError as error:
                if self._pin_fd is not None or error.attempts_remaining <= 1:
                    raise
                print_error(str(error))
            else:
                self._known = KnownPin(pin)
        return self._known

    async def _ask(self, card: Card, remote: str, remaining: int) -> bytes:
        if self._pin_fd is not None:
            return read_pin("", self._pin_fd)
        last = " (the last try before it is blocked)" if remaining == 1 else ""
        return await terminal.ask_line(f"PIN of {card.name} to connect to {remote}{last}: ", hidden=True)

    def forget(self) -> None:
        """Overwrite it."""
        if self._known is not None:
            self._known.forget()


def _confirm(options: Options, view: StatusView, remote: str) -> Callable[[str], Awaitable[bool]]:
    """How the PIN pad's question is answered."""
    one_at_a_time = asyncio.Lock()

    async def confirm(_: str) -> bool:
        if options.yes:
            return True
        async with one_at_a_time:
            with view.paused():
                try:
                    return await terminal.ask_yes_no(f"{remote} asks for your PIN, to use your card. Let it?")
                except UsageError as error:
                    print_error(f"A question of {remote} was answered with no. {error} Or answer with --yes.")
                    return False

    return confirm


def _recorder(path: Path) -> Callable[..., None]:
    audit = Audit(path)

    def record(event: str, **facts: str | int) -> None:
        try:
            audit.record(event, **facts)
        except AuditError as error:
            print_error(f"{event} could not be recorded: {error}")

    return record
