"""The reader's socket with a card behind it, over a real UNIX socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sra.piv.objects import ATR
from sra.remote.virtual_card.reader_frames import FrameKind
from sra.remote.virtual_card.reader_link import ReaderLink
from tests.remote.virtual_card.reader_driver import SELECT, SLOW, Driver, RecordingCard

READER = "reader-0"


def names_in(folder: Path) -> list[str]:
    return [found.name for found in folder.iterdir()]


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def flood(driver: Driver, card: RecordingCard) -> None:
    """Ask 20 long questions without reading one answer; raise ``TimeoutError`` when the card hears no more."""
    for _ in range(20):
        driver.say(FrameKind.APDU, bytes(65_000))
        await asyncio.wait_for(card.commands.get(), 0.2)


def link(path: Path, card: RecordingCard, wait_interval: float = 5.0) -> ReaderLink:
    return ReaderLink(path, card, pin_pad=True, users={os.getuid()}, wait_interval=wait_interval)


@asynccontextmanager
async def inserted(folder: Path, wait_interval: float = 5.0) -> AsyncIterator[tuple[Path, RecordingCard]]:
    """The socket of a card that is in."""
    card = RecordingCard()
    async with asyncio.timeout(10), link(folder / READER, card, wait_interval):
        yield folder / READER, card


async def test_the_socket_exists_only_while_the_card_is_in(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, _):
        assert names_in(tmp_path) == [path.name]
    assert names_in(tmp_path) == []


async def test_the_driver_is_greeted_with_the_atr_and_the_pin_pad(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, _):
        driver = Driver(*await asyncio.open_unix_connection(path))
        assert await driver.hear() == (FrameKind.GREETING, b"\x01\x01" + ATR)


async def test_power_resets_the_card_and_commands_reach_it(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, card):
        driver = await Driver.connect(path)
        assert await driver.ask(FrameKind.POWER_ON) == (FrameKind.DONE, b"")
        assert await driver.ask(FrameKind.APDU, SELECT) == (FrameKind.RESPONSE, SELECT + b"\x90\x00")
        assert await driver.ask(FrameKind.POWER_OFF) == (FrameKind.DONE, b"")
        assert card.heard == ["reset", SELECT, "reset"]


async def test_the_longest_command_and_its_answer_go_through(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, _):
        driver = await Driver.connect(path)
        assert await driver.ask(FrameKind.APDU, bytes(65_544)) == (FrameKind.RESPONSE, bytes(65_544) + b"\x90\x00")


async def test_a_command_that_comes_byte_by_byte_is_answered(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, _):
        driver = await Driver.connect(path)
        for byte in bytes([FrameKind.APDU, 0, 0, 0, len(SELECT)]) + SELECT:
            driver.writer.write(bytes([byte]))
            await driver.writer.drain()
            await asyncio.sleep(0)
        assert await driver.hear() == (FrameKind.RESPONSE, SELECT + b"\x90\x00")


async def test_the_driver_is_kept_waiting_while_the_admin_thinks(tmp_path: Path) -> None:
    async with inserted(tmp_path, wait_interval=0.01) as (path, card):
        driver = await Driver.connect(path)
        driver.say(FrameKind.APDU, SLOW)
        assert [await driver.hear(), await driver.hear()] == [(FrameKind.WAIT, b"")] * 2
        card.finish.set()
        while (answer := await driver.hear())[0] == FrameKind.WAIT:
            pass
        assert answer == (FrameKind.RESPONSE, SLOW + b"\x90\x00")
        assert await driver.ask(FrameKind.POWER_ON) == (FrameKind.DONE, b"")


async def test_a_quick_answer_needs_no_waiting(tmp_path: Path) -> None:
    async with inserted(tmp_path, wait_interval=0.02) as (path, _):
        driver = await Driver.connect(path)
        assert (await driver.ask(FrameKind.APDU, SELECT))[0] == FrameKind.RESPONSE
        await asyncio.sleep(0.05)
        assert (await driver.ask(FrameKind.POWER_ON))[0] == FrameKind.DONE


async def test_ejecting_cancels_the_key_use_and_closes_at_once(tmp_path: Path) -> None:
    card = RecordingCard()
    reader = link(tmp_path / READER, card)
    await reader.open()
    driver = await Driver.connect(tmp_path / READER)
    driver.say(FrameKind.APDU, SLOW)
    await card.started.wait()
    await reader.close()
    assert card.heard == [SLOW, "reset", "cancelled"]
    assert await driver.is_closed()
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(tmp_path / READER)


async def test_a_driver_that_goes_away_cancels_its_key_use(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, card):
        driver = await Driver.connect(path)
        driver.say(FrameKind.APDU, SLOW)
        await card.started.wait()
        driver.writer.close()
        await card.cancelled.wait()
        assert card.heard == [SLOW, "reset", "cancelled"]
        assert (await (await Driver.connect(path)).ask(FrameKind.POWER_ON))[0] == FrameKind.DONE


async def test_a_new_driver_takes_over_from_the_one_before(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, card):
        before = await Driver.connect(path)
        before.say(FrameKind.APDU, SLOW)
        await card.started.wait()
        after = await Driver.connect(path)
        assert await before.is_closed()
        assert await after.ask(FrameKind.APDU, SELECT) == (FrameKind.RESPONSE, SELECT + b"\x90\x00")
        assert card.heard == [SLOW, "reset", "cancelled", SELECT]


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x01\0\0\0\0",
        b"\x04\xff\xff\xff\xff",
        b"\x04\0\0\0\x03",
        b"\x02\0\0\0\0\x02\0\0\0\0",
    ],
)
async def test_a_driver_that_breaks_a_rule_is_hung_up_on(
    garbage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with inserted(tmp_path) as (path, card):
        driver = await Driver.connect(path)
        driver.writer.write(garbage)
        assert await driver.is_closed()
        assert card.heard == ["reset"]
        assert (await (await Driver.connect(path)).ask(FrameKind.POWER_ON))[0] == FrameKind.DONE
    assert "connection to the driver closed" in caplog.text


async def test_a_driver_that_does_not_wait_for_its_answer_is_hung_up_on(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, card):
        driver = await Driver.connect(path)
        driver.say(FrameKind.APDU, SLOW)
        await card.started.wait()
        driver.say(FrameKind.POWER_ON)
        assert await driver.is_closed()


async def test_a_driver_that_never_reads_is_not_listened_to_any_more(tmp_path: Path) -> None:
    async with inserted(tmp_path) as (path, card):
        driver = await Driver.connect(path)
        with pytest.raises(TimeoutError):
            await flood(driver, card)
        assert (await (await Driver.connect(path)).ask(FrameKind.POWER_ON))[0] == FrameKind.DONE


async def test_another_user_is_not_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sra.remote.virtual_card.driver_connection.peer_user", lambda _: 12_345)
    async with inserted(tmp_path) as (path, card):
        driver = Driver(*await asyncio.open_unix_connection(path))
        assert await driver.is_closed()
        assert card.heard == []
    assert "user 12345 is not the driver's" in caplog.text


async def test_a_stranger_does_not_disturb_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with inserted(tmp_path) as (path, _):
        driver = await Driver.connect(path)
        monkeypatch.setattr("sra.remote.virtual_card.driver_connection.peer_user", lambda _: 12_345)
        assert await Driver(*await asyncio.open_unix_connection(path)).is_closed()
        assert await driver.ask(FrameKind.POWER_ON) == (FrameKind.DONE, b"")


async def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    for name in (READER, f".{READER}.new"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / name))
    async with inserted(tmp_path) as (path, _):
        assert names_in(tmp_path) == [READER]
        assert (await (await Driver.connect(path)).ask(FrameKind.POWER_ON))[0] == FrameKind.DONE


async def test_something_else_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / READER).write_text("kept")
    with pytest.raises(FileExistsError):
        await link(tmp_path / READER, RecordingCard()).open()
    assert (tmp_path / READER).read_text() == "kept"


async def test_ejecting_leaves_the_socket_of_a_successor_alone(tmp_path: Path) -> None:
    first, second = (link(tmp_path / READER, RecordingCard()) for _ in range(2))
    await first.open()
    await second.open()
    await first.close()
    assert (await (await Driver.connect(tmp_path / READER)).ask(FrameKind.POWER_ON))[0] == FrameKind.DONE
    await second.close()
    assert names_in(tmp_path) == []


async def test_ejecting_twice_or_before_inserting_does_nothing(tmp_path: Path) -> None:
    reader = link(tmp_path / READER, RecordingCard())
    await reader.close()
    await reader.open()
    await reader.close()
    await reader.close()


@pytest.mark.parametrize(("users", "mode"), [((), 0o600), ((12_345,), 0o666)])
async def test_only_root_may_open_the_socket_when_root_is_the_driver(
    tmp_path: Path, users: tuple[int, ...], mode: int
) -> None:
    async with ReaderLink(tmp_path / READER, RecordingCard(), pin_pad=False, users=users):
        assert mode_of(tmp_path / READER) == mode


async def test_a_card_that_fails_leaves_the_driver_nothing_to_wait_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenCard(RecordingCard):
        async def transmit(self, apdu: bytes) -> bytes:
            raise ValueError(apdu)

    async with link(tmp_path / READER, BrokenCard()):
        driver = await Driver.connect(tmp_path / READER)
        driver.say(FrameKind.APDU, SELECT)
        assert await driver.is_closed()
    assert "the card failed with ValueError" in caplog.text


async def test_the_log_holds_no_pin_and_no_key_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="sra.card"):
        async with inserted(tmp_path) as (path, _):
            driver = await Driver.connect(path)
            for command in ("0020008008313233343536FFFF", "0087119A02ABCD"):
                await driver.ask(FrameKind.APDU, bytes.fromhex(command))
    assert "00 20 00 80" in caplog.text
    assert "00 87 11 9a" in caplog.text
    assert "31 32" not in caplog.text
    assert "ab cd" not in caplog.text
