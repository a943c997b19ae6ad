"""A card that speaks only T=0, and takes no command longer than a short one: everything works through such a line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sra.cards.pcsc.pcsc_contents import read_card
from sra.cards.pcsc.piv import PcscPivApplication, way_to_card
from sra.cards.software.backend import SoftwareBackend, SoftwareCard
from sra.cards.software.file import CardFolder
from sra.piv.keys import Slot
from sra.remote.virtual_card.applet import Applet
from tests.cards.card_in_reader import applet_for
from tests.cards.conftest import EVERY_ALGORITHM, PIN
from tests.cards.software.test_backend import check, request_for

HEADER = 5
GET_RESPONSE = 0xC0


class T0Line:
    """The line of a T=0 card: five bytes, then data one way; what a command with data answers has to be fetched.

    Le is exactly what there is, or the card says how much that is (ISO 7816-3, section 12.2).
    """

    def __init__(self, applet: Applet, loop: asyncio.AbstractEventLoop) -> None:
        self._applet = applet
        self._loop = loop
        self._kept = b""

    def transmit(self, command: bytes) -> bytes:
        assert len(command) <= HEADER + 255
        if command[1] == GET_RESPONSE:
            return self._fetch(command[4] or 256)
        self._kept = b""
        if len(command) > HEADER:
            assert len(command) == HEADER + command[4], "T=0 carries no Le after data"
            return self._keep(self._answer(command))
        answer = self._answer(command)
        return answer if len(command) == HEADER or len(answer) == 2 else self._keep(answer)

    def _answer(self, command: bytes) -> bytes:
        answer = self._loop.run_until_complete(self._applet.transmit(command))
        while answer[-2] == 0x61:
            more = self._loop.run_until_complete(self._applet.transmit(bytes([0, GET_RESPONSE, 0, 0, answer[-1]])))
            answer = answer[:-2] + more
        return answer

    def _keep(self, answer: bytes) -> bytes:
        self._kept = answer[:-2]
        return answer[-2:] if not self._kept else bytes([0x61, min(len(self._kept), 256) % 256])

    def _fetch(self, wanted: int) -> bytes:
        if wanted > len(self._kept):
            return bytes([0x6C, len(self._kept)])
        part, self._kept = self._kept[:wanted], self._kept[wanted:]
        return part + (b"\x90\x00" if not self._kept else bytes([0x61, min(len(self._kept), 256) % 256]))


@contextmanager
def piv_over_t0(folder: CardFolder) -> Iterator[tuple[PcscPivApplication, SoftwareCard]]:
    with asyncio.Runner() as runner:
        card = runner.run(SoftwareBackend(folder.path).open("software:ann"))
        line = T0Line(applet_for(card), runner.get_loop())
        piv = PcscPivApplication(way_to_card(line.transmit, is_t0=True))
        piv.select()
        yield piv, card


def test_everything_readable_comes_over_t0(folder: CardFolder) -> None:
    with piv_over_t0(folder) as (piv, card):
        found = read_card(piv).contents
        assert found.objects == card.contents.objects
        assert set(found.keys) == set(card.contents.keys)


@pytest.mark.parametrize("slot", EVERY_ALGORITHM)
def test_every_key_does_its_work_over_t0(folder: CardFolder, slot: Slot) -> None:
    with piv_over_t0(folder) as (piv, card):
        piv.verify(PIN)
        request = request_for(slot)
        check(card, request, piv.use(request))
