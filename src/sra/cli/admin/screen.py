"""``sra screen``: work at a remote's screen, with the card of this machine in its reader."""

from __future__ import annotations

from sra.admin.build import ConnectOptions, Shown
from sra.admin.guard.pin_entry import PinEntry
from sra.cli.admin.cards import CardsDir, Modules
from sra.cli.admin.connect import (
    DEFAULT_SLOTS,
    AssumeYes,
    CaFile,
    CardChoice,
    CardName,
    Clipboard,
    Fingerprint,
    PinCache,
    PinEntryOption,
    Reconnect,
    RemoteName,
    Slots,
    ViewOnly,
    parse_slots,
    run_connection,
)
from sra.cli.console.options import ConfigDir, examples
from sra.cli.console.pins import PinFd
from sra.identity.x509_reading import parse_fingerprint

EXAMPLES = examples("sra screen remote.example.com", "sra screen remote.example.com --view-only")


def screen(
    remote: RemoteName,
    *,
    view_only: ViewOnly = False,
    clipboard: Clipboard = None,
    card: CardName = "",
    slots: Slots = DEFAULT_SLOTS,
    pin_fd: PinFd = None,
    fingerprint: Fingerprint = None,
    ca_file: CaFile = None,
    yes: AssumeYes = False,
    reconnect: Reconnect = True,
    pin_entry: PinEntryOption = PinEntry.PAD,
    pin_cache: PinCache = None,
    module: Modules = None,
    cards_dir: CardsDir,
    config_dir: ConfigDir = None,
) -> None:
    """Connect, insert the card and show the remote's screen; closing the viewer ends all of it.

    After a log-out there the screen comes back by itself. “sra connect --screen” stays connected without the viewer.
    """
    options = ConnectOptions(
        parse_slots(slots), parse_fingerprint(fingerprint) if fingerprint else None, ca_file, yes, reconnect,
        pin_entry, pin_cache, shown=Shown.ALONE, view_only=view_only, clipboard=clipboard,
    )  # fmt: skip
    run_connection(remote, CardChoice(card, pin_fd, module, cards_dir), options, config_dir)
