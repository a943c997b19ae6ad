"""``sra-card``: the virtual card process of one reader."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from sra import logs
from sra.config import load_daemon_config
from sra.paths import Paths
from sra.programs.run import run_command, until_signal
from sra.remote.virtual_card import daemon_link
from sra.remote.virtual_card.applet import Applet
from sra.remote.virtual_card.daemon_link import DaemonLink, InsertedCard
from sra.remote.virtual_card.reader_link import ReaderLink
from sra.transport.channel import Channel
from sra.wire.messages import InsertCard

READER_NAME = "Secure Remote Access {:02X} 00"
"""As pcscd names the reader to applications: its name, which entry of reader.conf it is, and which slot."""


def main() -> None:
    """Run ``sra-card``."""
    run_command(sra_card)


def sra_card(
    reader: Annotated[int, typer.Option(min=0, max=15, help="The number of the virtual reader to serve.")] = 0,
    root: Annotated[Path, typer.Option(help="Where etc/sra, run/sra and the rest are.")] = Path("/"),
    pcscd_uid: Annotated[int, typer.Option(help="The user that pcscd runs as, beside root.")] = 0,
    log_level: Annotated[str, typer.Option(help="error, warning, info, debug or traffic.")] = "info",
) -> None:
    """Be the virtual card of one reader, for srad, until SIGTERM.

    Example: sra-card --reader 0 --root /tmp/trial
    """
    logs.set_up(log_level, sys.stderr)
    asyncio.run(_serve(Paths(root), reader, frozenset({pcscd_uid})))


async def _serve(paths: Paths, reader: int, uids: frozenset[int]) -> None:
    config = load_daemon_config(paths.config)

    def make_card(card: InsertCard, link: DaemonLink) -> InsertedCard:
        applet = Applet(
            card.contents, link, link, random_bytes=os.urandom, clock=time.monotonic,
            pin_idle=config.pin_idle_seconds, pin_pad=card.pin_pad,
            pin_every_use=config.session.pin_every_use,
        )  # fmt: skip
        return ReaderLink(paths.reader(reader), applet, pin_pad=card.pin_pad, users=uids)

    async def dial() -> Channel:
        certificate = paths.identity / "certificate.pem"
        return await daemon_link.attach(config.local_port, reader, paths.local_secret, certificate)

    async def serve(channel: Channel) -> None:
        await DaemonLink(channel, READER_NAME.format(reader), make_card).serve()

    await until_signal(daemon_link.stay_attached(dial, serve))
