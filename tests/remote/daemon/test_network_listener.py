"""Port 4116: who comes in, and what becomes of those who don't keep the rules."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sra.errors import LinkError, RefusedError
from sra.remote.daemon import network_listener
from sra.transport import channel as channel_module
from sra.transport.gate import GateLimits
from sra.wire.messages import Attach, EjectCard, Goodbye, Hello, InsertCard, Message, Ping, Proof
from tests.admin.connecting import connect
from tests.loopback import DEADLINE, dial, dial_raw, raw, until
from tests.memory_card import MemoryCard
from tests.memory_remote import SECRET, running_remote
from tests.remote.daemon.test_sessions import hello_of
from tests.wire.samples import CONTENTS


async def all_that_is_said(port: int, *frames: tuple[int, Message]) -> bytes:
    """Everything that the remote says to somebody who begins like that."""
    reader, writer = await dial_raw(port)
    writer.write(b"".join(raw(number, message) for number, message in frames))
    try:
        async with asyncio.timeout(DEADLINE):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "message",
    [
        Proof(b"signature"),
        InsertCard(CONTENTS, pin_pad=True),
        Attach(SECRET, 0),
        EjectCard("out"),
        Ping(),
        Goodbye("bye", final=False),
    ],
    ids=lambda message: type(message).__name__,
)
async def test_who_begins_with_anything_but_a_hello_is_told_nothing(message: Message) -> None:
    async with running_remote(readers=0) as remote:
        number = 0 if isinstance(message, EjectCard | Goodbye) else 1
        assert await all_that_is_said(remote.port, (number, message)) == b""
        assert remote.records.events == []


async def test_a_proof_before_the_challenge_is_told_nothing() -> None:
    async with running_remote(readers=0) as remote:
        card = MemoryCard()
        assert await all_that_is_said(remote.port, (1, hello_of(card)), (2, Proof(b"signature"))) == b""
        assert remote.accounts.asked == []


async def test_who_says_nothing_is_gone_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_listener, "HELLO_DEADLINE", 0.05)
    async with running_remote(readers=0, limits=GateLimits(strangers=1, per_address=100)) as remote:
        assert await all_that_is_said(remote.port) == b""
        await remote.until_no_strangers()
        card = MemoryCard()
        remote.accounts.pair(card, "ann")
        await (await connect(remote.port, card)).close("bye")


async def test_who_never_proves_anything_is_gone_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_listener, "PROOF_DEADLINE", 0.05)
    async with running_remote(readers=0, limits=GateLimits(strangers=1, per_address=100)) as remote:
        assert await all_that_is_said(remote.port, (1, hello_of(MemoryCard()))) != b""
        await remote.until_no_strangers()
        await (await dial(remote.port)).close("there is room again")


async def test_who_answers_no_ping_after_the_hello_does_not_have_the_time_for_a_pin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_module, "PING_AFTER", 0.02)
    monkeypatch.setattr(channel_module, "DEAD_AFTER", 0.08)
    async with running_remote(readers=0) as remote:
        begun = time.monotonic()
        assert await all_that_is_said(remote.port, (1, hello_of(MemoryCard()))) != b""
        await remote.until_no_strangers()
        assert time.monotonic() - begun < DEADLINE


async def test_a_card_that_expired_stays_so_when_the_clock_is_set_back() -> None:
    async with running_remote(readers=0) as remote:
        card = MemoryCard(ends=timedelta(days=1))
        remote.accounts.pair(card, "ann")
        shown = datetime.now(UTC) + timedelta(days=2)
        remote.network._admission = replace(remote.network._admission, now=lambda: shown)
        with pytest.raises(RefusedError, match="expired"):
            await connect(remote.port, card)


async def test_who_has_authenticated_is_no_stranger_any_more() -> None:
    async with running_remote(readers=0, limits=GateLimits(strangers=1, per_address=100)) as remote:
        cards = [MemoryCard(owner=owner) for owner in ("ann", "bob", "cy")]
        for card in cards:
            remote.accounts.pair(card, card.owner)
        sessions = [await connect(remote.port, card) for card in cards]
        assert [session.account for session in sessions] == ["ann", "bob", "cy"]
        for session in sessions:
            await session.close("bye")


async def test_a_stranger_may_send_no_more_than_a_hello_needs() -> None:
    async with running_remote(readers=0) as remote:
        reader, writer = await dial_raw(remote.port)
        writer.write((32 * 1024 + 1).to_bytes(4, "big"))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE):
                assert await reader.read() == b""
        writer.transport.abort()


async def test_a_hello_that_comes_in_pieces_is_heard() -> None:
    async with running_remote(readers=0) as remote:
        reader, writer = await dial_raw(remote.port)
        whole = raw(1, Hello((1,), bytes(32), b"no certificate"))
        for place in range(0, len(whole), 7):
            writer.write(whole[place : place + 7])
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            assert b"certificate" in await reader.read(1000)
        writer.transport.abort()


async def test_closing_ends_every_connection() -> None:
    async with running_remote(readers=0) as remote:
        card = MemoryCard()
        remote.accounts.pair(card, "ann")
        session = await connect(remote.port, card)
        stranger = await dial(remote.port)
        await asyncio.sleep(0.01)
        async with asyncio.timeout(2):
            await remote.network.close()
        await until(lambda: session._channel.is_lost and stranger.is_lost)
        with pytest.raises(LinkError):
            await dial(remote.port)
        await session.close("bye")
