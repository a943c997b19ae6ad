"""Put a software card into a virtual reader of this machine, as if it were a real card in a real reader.

python card_in_reader.py --cards-dir DIR --name NAME --socket PATH

``PATH`` is the reader's socket (docs/reader-socket.md). Prints ``inserted`` when the card is in; SIGTERM or SIGINT
takes it out. The card checks the PIN itself: there is no network here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sra.admin.cards.base import Card
from sra.admin.cards.software import PREFIX, SoftwareBackend
from sra.errors import PinBlockedError, PinWrongError
from sra.piv.keys import PinOutcome, PinReply, PinRequest
from sra.remote.virtual_card.applet import Applet
from sra.remote.virtual_card.reader_link import ReaderLink

PIN_IDLE = 600.0
"""Seconds for which a PIN stays verified: a real card has no such limit."""


class OwnPinCheck:
    """A card that checks its own PIN, as real ones do; it has no PIN pad."""

    def __init__(self, card: Card) -> None:
        self._card = card

    async def check_pin(self, request: PinRequest) -> PinReply:
        if request.typed is None:
            return PinReply(PinOutcome.CANCELLED, await self._card.attempts_remaining())
        try:
            await self._card.verify_pin(request.typed)
        except PinWrongError as error:
            return PinReply(PinOutcome.WRONG, error.attempts_remaining)
        except PinBlockedError:
            return PinReply(PinOutcome.BLOCKED, 0)
        return PinReply(PinOutcome.VERIFIED, await self._card.attempts_remaining())


def applet_for(card: Card) -> Applet:
    """The PIV applet of ``card``."""
    return Applet(
        card.contents,
        card,
        OwnPinCheck(card),
        random_bytes=secrets.token_bytes,
        clock=time.monotonic,
        pin_idle=PIN_IDLE,
        pin_pad=False,
    )


@asynccontextmanager
async def inserted(cards_dir: Path, name: str, socket: Path) -> AsyncIterator[Card]:
    """The card, which is in the reader meanwhile; besides root's, a pcscd of our own user may have it."""
    card = await SoftwareBackend(cards_dir).open(PREFIX + name)
    async with ReaderLink(socket, applet_for(card), pin_pad=False, users=[os.geteuid()]):
        yield card
    await card.close()


async def serve(cards_dir: Path, name: str, socket: Path) -> None:
    """Have the card in the reader until a signal comes."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with inserted(cards_dir, name, socket):
        print("inserted", flush=True)
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a software card into a virtual reader.")
    parser.add_argument("--cards-dir", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--socket", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.cards_dir, given.name, given.socket))


if __name__ == "__main__":
    main()
