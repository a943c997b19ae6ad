"""Software cards to test with: one that has every algorithm, made once, and copies of it to do with as one likes."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sra.cards.pcsc import reader as pcsc_reader
from sra.cards.pcsc.backend import PcscCard
from sra.cards.software.file import CardFolder
from sra.cards.software.maker import CardHolder, CardOrder, make, parse_subject, validity
from sra.piv.keys import Algorithm, Slot
from tests.cards.cards_in_readers import opened
from tests.cards.private_pcscd import PrivatePcscd, environment, private_pcscd

PIN, PUK = b"123456", b"PUKPUKPU"

EVERY_ALGORITHM = {
    Slot.AUTHENTICATION: Algorithm.RSA_2048,
    Slot.SIGNATURE: Algorithm.P256,
    Slot.KEY_MANAGEMENT: Algorithm.RSA_3072,
    Slot.CARD_AUTHENTICATION: Algorithm.P384,
    Slot.RETIRED_1: Algorithm.P256,
    Slot.RETIRED_3: Algorithm.P384,
    Slot.RETIRED_20: Algorithm.RSA_4096,
}


def order_for(algorithms: dict[Slot, Algorithm]) -> CardOrder:
    return CardOrder(algorithms, CardHolder(parse_subject("Ann")), None, validity(datetime.now(UTC), days=30))


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a card with a key of every algorithm; its PIN is 123456."""
    folder = CardFolder(tmp_path_factory.mktemp("cards"))
    folder.create("ann", make(order_for(EVERY_ALGORITHM), PIN, PUK))
    return folder.path / "ann.softcard"


@pytest.fixture
def folder(master: Path, tmp_path: Path) -> CardFolder:
    """A folder with one card, ``ann``."""
    shutil.copy2(master, tmp_path)
    return CardFolder(tmp_path)


@pytest.fixture(scope="session")
def pcscd() -> Iterator[PrivatePcscd]:
    """A pcscd with three empty readers.

    One for all tests: PC/SC's library looks up where its service is once in a process, which is when it is first used.
    """
    with private_pcscd(readers=3) as started:
        with environment(started.environment):
            pcsc_reader.list_readers()
        yield started


@pytest.fixture
async def card(pcscd: PrivatePcscd, folder: CardFolder) -> AsyncIterator[PcscCard]:
    """The card ``ann`` in the first reader, open."""
    async with opened(pcscd, folder) as made:
        yield made
