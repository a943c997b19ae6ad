"""Port 4117: nothing for who does not have the secret."""

from __future__ import annotations

import asyncio

import pytest

from sra.remote.daemon import local_listener as local_listener_module
from sra.wire import frames
from sra.wire.frames import Frame
from sra.wire.messages import Attach, Attached, Goodbye, Hello, InsertCard, Message, Ping
from tests.admin.connecting import connect
from tests.loopback import DEADLINE, dial_raw, raw
from tests.memory_card import MemoryCard
from tests.memory_remote import SECRET, running_remote
from tests.remote.daemon.raw_virtual_card import attached
from tests.wire.samples import KEY_REQUEST


async def all_that_is_said(port: int, sent: bytes) -> bytes:
    """Every byte of TLS's contents that srad sends to a local program that begins like that."""
    reader, writer = await dial_raw(port)
    writer.write(sent)
    try:
        async with asyncio.timeout(DEADLINE):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "sent",
    [
        raw(1, Attach(bytes(32), 0)),
        raw(1, Attach(SECRET[:-1] + b"\xff", 0)),
        raw(1, Attach(SECRET[::-1], 0)) + raw(2, KEY_REQUEST),
        raw(0, Attach(SECRET, 0)),
        raw(1, Hello((1,), bytes(32), b"")),
        raw(1, Ping()),
        raw(0, Goodbye("bye", final=False)),
        raw(1, KEY_REQUEST),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100,
    ],
    ids=[
        "zeros", "one-byte", "backwards", "no-number", "hello", "ping", "goodbye", "key-request", "http", "garbage"
    ],
)  # fmt: skip
async def test_without_the_secret_not_a_byte_is_said(sent: bytes) -> None:
    async with running_remote(readers=0) as remote:
        assert await all_that_is_said(remote.local_port, sent) == b""
        assert remote.sessions._readers == {}


async def test_who_says_nothing_is_told_nothing_and_gone_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_listener_module, "ATTACH_DEADLINE", 0.05)
    async with running_remote(readers=0) as remote:
        assert await all_that_is_said(remote.local_port, b"") == b""


@pytest.mark.parametrize("secret", [b"", SECRET[:-1], SECRET + b"\x00"])
async def test_a_secret_of_another_length_breaks_the_protocol(secret: bytes) -> None:
    async with running_remote(readers=0) as remote:
        assert await all_that_is_said(remote.local_port, frames.encode(Frame(1, Attach(secret, 0)))) == b""


async def test_with_the_secret_a_reader_is_there_until_its_process_goes() -> None:
    async with running_remote(readers=0) as remote:
        async with attached(remote.local_port, 5):
            assert remote.sessions.take_reader().number == 5
        await asyncio.sleep(0.02)
        assert remote.sessions._readers == {}


async def test_the_newest_process_serves_the_reader_when_an_older_one_is_still_there() -> None:
    async with running_remote(readers=0) as remote, attached(remote.local_port) as older:
        async with attached(remote.local_port) as newer:
            older.leave()
            await asyncio.sleep(0.02)
            card = MemoryCard()
            remote.accounts.pair(card, "ann")
            session = await connect(remote.port, card)
            inserting = asyncio.create_task(session.insert({key.slot for key in card.contents.keys}))
            await newer.expect(InsertCard)
            inserting.cancel()
            await asyncio.gather(inserting, return_exceptions=True)
        await session.close("bye")


async def test_a_message_of_an_admin_is_none_of_a_virtual_cards() -> None:
    async with running_remote(readers=0) as remote:
        messages: list[Message] = [Hello((1,), bytes(32), b""), Attach(SECRET, 0), Attached()]
        for message in messages:
            async with attached(remote.local_port) as process:
                process.say((2, message))
                assert await process.is_cut_off()


async def test_the_local_port_is_on_the_loopback_address_only() -> None:
    async with running_remote(readers=0) as remote:
        listening = [bound.getsockname()[0] for bound in remote.local._listener._sockets]
        assert listening == ["127.0.0.1"]
