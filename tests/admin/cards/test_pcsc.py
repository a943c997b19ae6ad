"""Cards in readers: a real pcscd, the real driver, and a software card that behaves as a real one would."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra.admin.cards import pcsc_reader
from sra.admin.cards.pcsc import PcscBackend, PcscCard
from sra.admin.cards.pcsc_reader import ReaderConnection
from sra.admin.cards.softcard_file import CardFolder
from sra.admin.cards.software import SoftwareBackend
from sra.errors import (
    CardBusyError,
    CardError,
    CardRemovedError,
    KeyMissingError,
    NoCardError,
    NoReaderError,
    NotPivError,
    PinBlockedError,
    PinNeededError,
    PinWrongError,
    UsageError,
)
from sra.piv.apdu import Instruction
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot
from sra.remote.virtual_card.applet import Applet
from sra.remote.virtual_card.reader_link import ReaderLink
from tests.admin.cards.card_in_reader import applet_for, inserted
from tests.admin.cards.conftest import EVERY_ALGORITHM, PIN
from tests.admin.cards.private_pcscd import PrivatePcscd, environment, private_pcscd
from tests.admin.cards.test_software import check, request_for

PATIENCE = 0.4
Body = Callable[[PcscCard], Awaitable[None]]


@pytest.fixture(scope="module")
def pcscd() -> Iterator[PrivatePcscd]:
    """One for all these tests: PC/SC's library looks up where its service is only once in a process."""
    with private_pcscd(readers=2) as started, environment(started.environment):
        yield started


class OtherCard:
    """A card that is no PIV card."""

    async def transmit(self, apdu: bytes) -> bytes:
        return b"\x6a\x82"

    def reset(self) -> None: ...


async def wait_for_card(reader: str, *, there: bool = True) -> None:
    """Return when PC/SC has noticed that a card is in, or out; that takes it some milliseconds."""
    deadline = time.monotonic() + 5
    while not any(state.name == reader and state.has_card is there for state in pcsc_reader.list_readers()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(pcscd: PrivatePcscd, folder: CardFolder) -> AsyncIterator[PcscCard]:
    """The card ``ann`` in the first reader, open."""
    async with inserted(folder.path, "ann", pcscd.socket(0)):
        await wait_for_card(pcscd.name(0))
        card = await PcscBackend(PATIENCE).open(f"pcsc:{pcscd.name(0)}")
        yield card
        await card.close()
    await wait_for_card(pcscd.name(0), there=False)


def on_card(pcscd: PrivatePcscd, folder: CardFolder, body: Body) -> None:
    async def run() -> None:
        async with opened(pcscd, folder) as card:
            await body(card)

    asyncio.run(run())


def other_program(pcscd: PrivatePcscd) -> ReaderConnection:
    """Another program's connection to the same card."""
    connection = ReaderConnection(pcscd.name(0))
    connection.connect(PATIENCE)
    return connection


async def reset_by_other_program(pcscd: PrivatePcscd) -> None:
    """In a thread: the card that has to answer the reset is in this one."""
    await asyncio.to_thread(lambda: other_program(pcscd).disconnect(forget=True))


def test_everything_readable_is_the_software_card_s(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def run() -> None:
        async with inserted(folder.path, "ann", pcscd.socket(0)) as behind:
            await wait_for_card(pcscd.name(0))
            card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
            assert card.contents.objects == behind.contents.objects
            assert set(card.contents.keys) == set(behind.contents.keys)
            await card.close()

    asyncio.run(run())


def test_reading_it_again_takes_nothing_from_the_card(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        assert card.contents is card.contents
        assert card.name == f"pcsc:{pcscd.name(0)}"

    on_card(pcscd, folder, body)


@pytest.mark.parametrize("slot", EVERY_ALGORITHM)
def test_every_key_does_its_work_after_the_pin(pcscd: PrivatePcscd, folder: CardFolder, slot: Slot) -> None:
    async def body(card: PcscCard) -> None:
        await card.verify_pin(PIN)
        request = request_for(slot)
        check(card, request, (await card.use_key(request)).output)

    on_card(pcscd, folder, body)


def test_keys_want_the_pin_and_the_signature_key_each_time(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.AUTHENTICATION))
        await card.verify_pin(PIN)
        await card.use_key(request_for(Slot.SIGNATURE))
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.SIGNATURE))
        await card.use_key(request_for(Slot.AUTHENTICATION))

    on_card(pcscd, folder, body)


def test_tries_are_counted_by_the_card(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        assert await card.attempts_remaining() == 3
        with pytest.raises(PinWrongError) as caught:
            await card.verify_pin(b"654321")
        assert caught.value.attempts_remaining == 2
        assert await card.attempts_remaining() == 2
        await card.verify_pin(PIN)
        assert await card.attempts_remaining() == 3

    on_card(pcscd, folder, body)


def test_a_blocked_pin_is_told(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        for _ in range(3):
            with pytest.raises(CardError):
                await card.verify_pin(b"654321")
        with pytest.raises(PinBlockedError):
            await card.verify_pin(PIN)
        assert await card.attempts_remaining() == 0

    on_card(pcscd, folder, body)


def test_a_missing_key_is_told(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        await card.verify_pin(PIN)
        with pytest.raises(KeyMissingError):
            await card.use_key(KeyRequest(Slot.RETIRED_2, Algorithm.P256, Operation.SIGN, b"x" * 32))

    on_card(pcscd, folder, body)


def test_a_second_use_needs_no_second_pin_even_while_others_look(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        await card.verify_pin(PIN)
        await PcscBackend().find()
        uses = (card.use_key(request_for(Slot.AUTHENTICATION)) for _ in range(5))
        assert len({reply.output for reply in await asyncio.gather(*uses)}) == 1

    on_card(pcscd, folder, body)


def test_after_a_reset_by_another_program_the_pin_is_needed_again(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        await card.verify_pin(PIN)
        await reset_by_other_program(pcscd)
        with pytest.raises(PinNeededError):
            await card.use_key(request_for(Slot.AUTHENTICATION))
        await card.verify_pin(PIN)
        await card.use_key(request_for(Slot.AUTHENTICATION))

    on_card(pcscd, folder, body)


def test_after_a_reset_a_key_that_wants_no_pin_just_works(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        await reset_by_other_program(pcscd)
        request = request_for(Slot.CARD_AUTHENTICATION)
        check(card, request, (await card.use_key(request)).output)

    on_card(pcscd, folder, body)


def test_closing_ends_the_pin_state_for_everybody(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        other = await PcscBackend().open(card.name)
        await card.verify_pin(PIN)
        await card.close()
        with pytest.raises(PinNeededError):
            await other.use_key(request_for(Slot.AUTHENTICATION))
        await other.close()

    on_card(pcscd, folder, body)


def test_a_closed_card_does_nothing_more(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        await card.close()
        with pytest.raises(CardRemovedError, match="connect to it again"):
            await card.use_key(request_for(Slot.CARD_AUTHENTICATION))

    on_card(pcscd, folder, body)


def test_a_card_that_another_program_keeps_is_busy_and_then_free_again(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        other = other_program(pcscd)
        with other.transaction():
            begun = time.monotonic()
            with pytest.raises(CardBusyError, match="Another program"):
                await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
            assert PATIENCE <= time.monotonic() - begun < PATIENCE + 0.3
        await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
        other.disconnect(forget=False)

    on_card(pcscd, folder, body)


def test_what_was_given_up_is_not_done_later(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        other = other_program(pcscd)
        with other.transaction(), pytest.raises(CardBusyError):
            await card.verify_pin(b"654321")
        assert await card.attempts_remaining() == 3
        other.disconnect(forget=False)

    on_card(pcscd, folder, body)


def test_a_short_wait_for_another_program_is_no_error(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        other = other_program(pcscd)
        with other.transaction():
            using = asyncio.create_task(card.use_key(request_for(Slot.CARD_AUTHENTICATION)))
            await asyncio.sleep(PATIENCE / 4)
            assert not using.done()
        await using
        other.disconnect(forget=False)

    on_card(pcscd, folder, body)


def test_removal_is_seen_at_once(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def run() -> None:
        async with inserted(folder.path, "ann", pcscd.socket(0)):
            await wait_for_card(pcscd.name(0))
            card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
            waiting = asyncio.create_task(card.wait_removed())
            await asyncio.sleep(0.05)
            await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
            assert not waiting.done()
        begun = time.monotonic()
        await waiting
        assert time.monotonic() - begun < 0.2
        with pytest.raises(CardRemovedError, match="taken out"):
            await card.use_key(request_for(Slot.CARD_AUTHENTICATION))
        await card.close()

    asyncio.run(run())


def test_a_card_that_was_out_for_a_moment_is_gone(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def run() -> None:
        async with inserted(folder.path, "ann", pcscd.socket(0)):
            await wait_for_card(pcscd.name(0))
            card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
        await wait_for_card(pcscd.name(0), there=False)
        async with inserted(folder.path, "ann", pcscd.socket(0)):
            await wait_for_card(pcscd.name(0))
            await asyncio.wait_for(card.wait_removed(), 1)
            await card.close()

    asyncio.run(run())


def test_waiting_for_the_removal_can_be_given_up(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        for pause in (0, 0, 0.001, 0.05):
            waiting = asyncio.create_task(card.wait_removed())
            await asyncio.sleep(pause)
            waiting.cancel()
            await asyncio.wait_for(asyncio.wait({waiting}), 1)
            assert waiting.cancelled()

    on_card(pcscd, folder, body)


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


def test_a_card_pulled_in_the_middle_of_a_key_use_is_told(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def run() -> None:
        stuck = StuckCard(applet_for(await SoftwareBackend(folder.path).open("software:ann")))
        async with ReaderLink(pcscd.socket(0), stuck, pin_pad=False, users=[os.geteuid()]):
            await wait_for_card(pcscd.name(0))
            card = await PcscBackend().open(f"pcsc:{pcscd.name(0)}")
            using = asyncio.create_task(card.use_key(request_for(Slot.CARD_AUTHENTICATION)))
            await stuck.is_asked.wait()
        with pytest.raises(CardError, match="put it in again"):
            await asyncio.wait_for(using, 2)
        await card.close()

    asyncio.run(run())


def test_the_event_loop_goes_on_while_the_card_works(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def body(card: PcscCard) -> None:
        verifying = asyncio.create_task(card.verify_pin(PIN))
        longest, last = 0.0, time.monotonic()
        while not verifying.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert longest < 0.05

    on_card(pcscd, folder, body)


def test_every_reader_is_listed_with_what_is_wrong(pcscd: PrivatePcscd, folder: CardFolder) -> None:
    async def run() -> None:
        async with inserted(folder.path, "ann", pcscd.socket(0)):
            await wait_for_card(pcscd.name(0))
            first, second = await PcscBackend().find()
            assert (first.name, first.problem) == (f"pcsc:{pcscd.name(0)}", "")
            assert "no card in the reader; put it in" in second.problem
            async with ReaderLink(pcscd.socket(1), OtherCard(), pin_pad=False, users=[os.geteuid()]):
                await wait_for_card(pcscd.name(1))
                _, second = await PcscBackend().find()
                assert "not a PIV card" in second.problem

    asyncio.run(run())


def test_cards_that_can_not_be_opened_say_why(pcscd: PrivatePcscd) -> None:
    async def run() -> None:
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

    asyncio.run(run())


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
    program = "import asyncio; from sra.admin.cards.pcsc import PcscBackend; asyncio.run(PcscBackend().find())"
    nowhere = {"PCSCLITE_CSOCK_NAME": str(folder.path / "nowhere"), "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", program], env=nowhere, capture_output=True, text=True, check=False)
    assert "NoReaderError: The smart card service isn't running; start it" in run.stderr


def test_without_a_reader_the_person_is_told(folder: CardFolder) -> None:
    program = "import asyncio; from sra.admin.cards.pcsc import PcscBackend; asyncio.run(PcscBackend().find())"
    with private_pcscd(readers=0) as empty:
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**empty.environment, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert "NoReaderError: There is no smart card reader; connect one" in run.stderr
