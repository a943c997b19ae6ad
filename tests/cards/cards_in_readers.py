"""What the tests of cards in readers have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sra.cards.base import Card
from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.backend import PcscBackend, PcscCard
from sra.cards.pcsc.reader import ReaderConnection
from sra.cards.software.file import CardFolder
from sra.remote.virtual_card.applet import Applet
from sra.remote.virtual_card.driver_connection import VirtualCard
from tests.cards.card_in_reader import Typist, inserted
from tests.cards.private_pcscd import PrivatePcscd

PATIENCE = 0.4
"""Seconds for which these tests wait for another program."""


async def wait_for_card(reader: str, *, there: bool = True) -> None:
    """Return when PC/SC has noticed that a card is in, or out; that takes it some milliseconds."""
    deadline = time.monotonic() + 5
    while not any(state.name == reader and state.has_card is there for state in pcsc_reader.list_readers()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(
    pcscd: PrivatePcscd,
    folder: CardFolder,
    *,
    typist: Typist | None = None,
    wrap: Callable[[Applet, Card], VirtualCard] = lambda applet, _: applet,
) -> AsyncIterator[PcscCard]:
    """The card ``ann`` in the first reader, open."""
    async with inserted(folder.path, "ann", pcscd.socket(0), typist=typist, wrap=wrap):
        await wait_for_card(pcscd.name(0))
        card = await PcscBackend(PATIENCE).open(f"pcsc:{pcscd.name(0)}")
        yield card
        await card.close()
    await wait_for_card(pcscd.name(0), there=False)


def other_program(pcscd: PrivatePcscd) -> ReaderConnection:
    """Another program's connection to the same card."""
    connection = ReaderConnection(pcscd.name(0))
    connection.connect(PATIENCE)
    return connection


async def reset_by_other_program(pcscd: PrivatePcscd) -> None:
    """In a thread: the card that has to answer the reset is in this one."""
    await asyncio.to_thread(lambda: other_program(pcscd).disconnect(forget=True))
