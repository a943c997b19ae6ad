"""Readers: what is in them, what is wrong with it, and when it is taken out."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sra.cards.base import Card
from sra.cards.pcsc.backend import PcscBackend, PcscCard
from sra.cards.software.backend import SoftwareBackend
from sra.cards.software.file import CardFolder
from sra.errors import (
    CardError,
    CardRemovedError,
    NoCardError,
    NoReaderError,
    NotPivError,
    UsageError,
)
from sra.piv.apdu import Instruction
from sra.piv.keys import Slot
from sra.remote.virtual_card.applet import Applet
from sra.remote.virtual_card.reader_link import ReaderLink
from tests.cards.card_in_reader import applet_for, inserted
from tests.cards.cards_in_readers import wait_for_card
from tests.cards.fuller_card import FullerCard
from tests.cards.private_pcscd import PrivatePcscd, private_pcscd
from tests.cards.software.test_backend import request_for


class OtherCard:
    """A card that is no PIV card."""

    async def transmit(self, apdu: bytes) -> bytes:
        return b"\x6a\x82"

    def reset(self) -> None: ...


async def test_removal_is_seen_at_once(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with inserted(folder.path, "ann", pcscd.socket(0)):
        await wait_for_card(pcscd.name(0))
        card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
        waiting = asyncio.create_task(card.wait_removed())
        await asyncio.sleep(0.05)
        await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
        assert not waiting.done()
    begun = time.monotonic()
    await waiting
    assert time.monotonic() - begun < 3  # as it is told, not when somebody looks again
    with pytest.raises(CardRemovedError, match="taken out"):
        await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
    await card.close()


async def test_a_card_that_was_out_for_a_moment_is_gone(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with inserted(folder.path, "ann", pcscd.socket(0)):
        await wait_for_card(pcscd.name(0))
        card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
    await wait_for_card(pcscd.name(0), there=False)
    async with inserted(folder.path, "ann", pcscd.socket(0)):
        await wait_for_card(pcscd.name(0))
        await asyncio.wait_for(card.wait_removed(), 1)
        await card.close()


async def test_waiting_for_the_removal_can_be_given_up(card: PcscCard) -> None:
    for pause in (0, 0, 0.001, 0.05):
        waiting = asyncio.create_task(card.wait_removed())
        await asyncio.sleep(pause)
        waiting.cancel()
        await asyncio.wait_for(asyncio.wait({waiting}), 1)
        assert waiting.cancelled()


class StuckCard:
    """A card that answers everything but a key use, in the middle of which it is pulled."""

    def __init__(self, inner: Applet) -> None:
        self._inner = inner
        self.is_asked = asyncio.Event()

    async def transmit(self, apdu: bytes) -> bytes:
        if apdu[1] == Instruction.GENERAL_AUTHENTICATE:
            self.is_asked.set()
            await asyncio.sleep(60)
        return await self._inner.transmit(apdu)

    def reset(self) -> None:
        self._inner.reset()


async def test_a_card_pulled_in_the_middle_of_a_key_use_is_told(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    stuck = StuckCard(applet_for(await SoftwareBackend(folder.path).open("software:ann")))
    async with ReaderLink(pcscd.socket(0), stuck, pin_pad=False, users=[os.geteuid()]):
        await wait_for_card(pcscd.name(0))
        card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
        using = asyncio.create_task(card.use_key(request_for(Slot.CARD_AUTHENTICATION)))
        await stuck.is_asked.wait()
    with pytest.raises(CardError, match="put it in again"):
        await asyncio.wait_for(using, 2)
    await card.close()


async def test_every_reader_is_listed_with_what_is_wrong(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async with inserted(folder.path, "ann", pcscd.socket(0)):
        await wait_for_card(pcscd.name(0))
        first, second, _ = await PcscBackend().find()
        assert (first.name, first.problem) == (f"pcsc:{pcscd.name(0)}", "")
        assert "no card in the reader; put it in" in second.problem
        async with ReaderLink(pcscd.socket(1), OtherCard(), pin_pad=False, users=[os.geteuid()]):
            await wait_for_card(pcscd.name(1))
            _, second, _ = await PcscBackend().find()
            assert "not a PIV card" in second.problem


async def test_cards_that_can_not_be_opened_say_why(pcscd: PrivatePcscd) -> None:
    backend = PcscBackend()
    with pytest.raises(UsageError, match="pcsc:"):
        await backend.open("software:ann")
    with pytest.raises(NoReaderError, match="sra cards"):
        await backend.open("pcsc:Reader 9")
    with pytest.raises(NoCardError, match="put it in"):
        await backend.open(f"pcsc:{pcscd.name(1)}")
    async with ReaderLink(pcscd.socket(1), OtherCard(), pin_pad=False, users=[os.geteuid()]):
        await wait_for_card(pcscd.name(1))
        with pytest.raises(NotPivError, match="not a PIV card"):
            await backend.open(f"pcsc:{pcscd.name(1)}")


def test_a_card_in_a_process_of_its_own(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    program = Path(__file__).with_name("card_in_reader.py")
    given = ["--cards-dir", str(folder.path), "--name", "ann", "--socket", str(pcscd.socket(0))]
    with subprocess.Popen([sys.executable, program, *given], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inserted\n"
        asyncio.run(wait_for_card(pcscd.name(0)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    asyncio.run(wait_for_card(pcscd.name(0), there=False))
    assert not pcscd.socket(0).exists()


def test_without_the_service_there_is_no_reader(folder: CardFolder) -> None:
    program = "import asyncio; from sra.cards.pcsc.backend import PcscBackend; asyncio.run(PcscBackend().find())"
    nowhere = {"PCSCLITE_CSOCK_NAME": str(folder.path / "nowhere"), "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", program], env=nowhere, capture_output=True, text=True, check=False)
    assert "NoReaderError: The smart card service isn't running; start it" in run.stderr


def test_without_a_reader_the_person_is_told(folder: CardFolder) -> None:
    program = "import asyncio; from sra.cards.pcsc.backend import PcscBackend; asyncio.run(PcscBackend().find())"
    with private_pcscd(readers=0) as empty:
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**empty.environment, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert "NoReaderError: There is no smart card reader; connect one" in run.stderr


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.CARD_AUTHENTICATION])
async def test_a_card_pulled_out_in_the_middle_of_its_work_is_out(
    pcscd: PrivatePcscd, folder: CardFolder, slot: Slot
) -> None:
    waiting = asyncio.Event()

    def wrap(applet: Applet, card: Card) -> FullerCard:
        return FullerCard(applet, card, touched=waiting)

    async with inserted(folder.path, "ann", pcscd.socket(0), wrap=wrap):
        await wait_for_card(pcscd.name(0))
        card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
        using = asyncio.create_task(card.use_key(request_for(slot)))
        removed = asyncio.create_task(card.wait_removed())
        await asyncio.sleep(0.2)
    begun = time.monotonic()
    with pytest.raises(CardRemovedError, match="taken out"):
        await using
    await removed
    assert time.monotonic() - begun < 1
    await card.close()
