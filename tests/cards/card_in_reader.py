"""Put a software card into a virtual reader of this machine, as if it were a real card in a real reader.

python card_in_reader.py --cards-dir DIR --name NAME --socket PATH [--pad PIN]

``PATH`` is the reader's socket (docs/reader-socket.md); with ``--pad`` the reader has a PIN pad, at which somebody
types that PIN each time. Prints ``inserted`` when the card is in; SIGTERM or SIGINT takes it out. The card checks the
PIN itself: there is no network here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sra.cards.base import Card
from sra.cards.software.backend import PREFIX, SoftwareBackend
from sra.errors import PinBlockedError, PinWrongError
from sra.piv.keys import PinOutcome, PinReply, PinRequest
from sra.remote.virtual_card.applet import Applet
from sra.remote.virtual_card.driver_connection import VirtualCard
from sra.remote.virtual_card.reader_link import ReaderLink

PIN_IDLE = 600.0
"""Seconds for which a PIN stays verified: a real card has no such limit."""


Typist = Callable[[], Awaitable[PinOutcome | bytes]]
"""Somebody at the reader's PIN pad: what is typed when the pad asks, or why nothing is."""


class OwnPinCheck:
    """A card that checks its own PIN, as real ones do, in a reader that has a PIN pad or none."""

    def __init__(self, card: Card, typist: Typist | None = None) -> None:
        self._card = card
        self._typist = typist

    async def check_pin(self, request: PinRequest) -> PinReply:
        given = await self._typist() if request.typed is None and self._typist else request.typed
        if not isinstance(given, bytes):
            return PinReply(given or PinOutcome.CANCELLED, await self._card.attempts_remaining())
        try:
            await self._card.verify_pin(given)
        except PinWrongError as error:
            return PinReply(PinOutcome.WRONG, error.attempts_remaining)
        except PinBlockedError:
            return PinReply(PinOutcome.BLOCKED, 0)
        return PinReply(PinOutcome.VERIFIED, await self._card.attempts_remaining())


def applet_for(card: Card, typist: Typist | None = None) -> Applet:
    """The PIV applet of ``card``."""
    return Applet(
        card.contents,
        card,
        OwnPinCheck(card, typist),
        random_bytes=secrets.token_bytes,
        clock=time.monotonic,
        pin_idle=PIN_IDLE,
        pin_pad=typist is not None,
    )


@asynccontextmanager
async def inserted(
    cards_dir: Path,
    name: str,
    socket: Path,
    *,
    typist: Typist | None = None,
    wrap: Callable[[Applet, Card], VirtualCard] = lambda applet, _: applet,
) -> AsyncIterator[Card]:
    """The card, which is in the reader meanwhile; besides root's, a pcscd of our own user may have it.

    The reader has a PIN pad if there is a ``typist``; ``wrap`` makes a card of it that can do more, or less.
    """
    card = await SoftwareBackend(cards_dir).open(PREFIX + name)
    virtual = wrap(applet_for(card, typist), card)
    async with ReaderLink(socket, virtual, pin_pad=typist is not None, users=[os.geteuid()]):
        yield card
    await card.close()


async def serve(cards_dir: Path, name: str, socket: Path, pad: str) -> None:
    """Have the card in the reader until a signal comes."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)

    async def typist() -> bytes:
        return pad.encode()

    async with inserted(cards_dir, name, socket, typist=typist if pad else None):
        print("inserted", flush=True)
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a software card into a virtual reader.")
    parser.add_argument("--cards-dir", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--pad", default="")
    given = parser.parse_args()
    asyncio.run(serve(given.cards_dir, given.name, given.socket, given.pad))


if __name__ == "__main__":
    main()
