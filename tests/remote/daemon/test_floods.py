"""Admins that say too much, and programs of this machine: each costs srad a known amount, and the audit few lines."""

from __future__ import annotations

import asyncio

import pytest

from sra.admin.session import AdminSession
from sra.remote.daemon import daemon_audit
from sra.wire.messages import Cancel, Message, Ping, Remark, ScreenRequest
from sra.wire.rates import ENDURED, RATES, FloodError, Rate
from tests.admin.connecting import connect
from tests.loopback import DEADLINE, raw, until
from tests.memory_card import MemoryCard
from tests.memory_remote import MemoryRemote, running_remote
from tests.remote.daemon.raw_virtual_card import attached


def burst(kind: type[Message]) -> int:
    rate = RATES[kind]
    assert isinstance(rate, Rate)
    return rate.burst


async def connected(remote: MemoryRemote) -> AdminSession:
    card = MemoryCard()
    remote.accounts.pair(card, "ann")
    return await connect(remote.port, card)


async def test_questions_that_come_too_fast_are_refused_late_and_told_once_for_each_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RATES, ScreenRequest, Rate(3, 0.01))
    async with running_remote() as remote:
        session = await connected(remote)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        asked = [session.channel.ask(ScreenRequest(view_only=True), DEADLINE) for _ in range(8)]
        answers = await asyncio.gather(*asked)
        codes = [str(getattr(answer, "code", "")) for answer in answers]
        assert codes == ["no-screen"] * 3 + ["busy"] * 5
        assert loop.time() - begun >= 1.0
        told = remote.records.of("too-many")
        assert [facts["message"] for facts in told] == ["ScreenRequest"] * 5
        assert {facts["account"] for facts in told} == {"ann"}
        assert daemon_audit.rule_for("too-many", dict(told[0])).is_refusal
        await session.close("done")


async def test_an_admin_that_floods_is_cut_off_and_the_others_stay() -> None:
    async with running_remote() as remote:
        other, hostile = await connected(remote), await connected(remote)
        transport = hostile.channel._transport
        assert transport is not None
        for number in range(10_000, 20_000):
            if hostile.channel.is_lost:
                break
            transport.write(raw(number, Ping()))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await until(lambda: hostile.channel.is_lost)
        assert not other.channel.is_lost
        await other.close("done")


@pytest.mark.parametrize("notice", [Remark("x"), Cancel(7)])
async def test_a_local_program_that_floods_port_4117_is_cut_off(notice: Message) -> None:
    async with running_remote(readers=0) as remote, attached(remote.local_port) as virtual_card:
        (reader,) = remote.sessions._readers.values()
        channel = reader._channel
        for _ in range(burst(type(notice)) * (ENDURED + 3) // 50):
            virtual_card.say(*[(0, notice)] * 50)
            await asyncio.sleep(0)
        assert await virtual_card.is_cut_off()
        assert isinstance(channel.reason, FloodError)
