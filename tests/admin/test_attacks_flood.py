"""A remote that says too much: remarks, cancels, pings and questions without end cost this machine a known amount."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sra import audit
from sra.errors import ProtocolError
from sra.ledger import refusals_path
from sra.wire.messages import Cancel, Message, Ping, Remark
from sra.wire.rates import ENDURED, RATES, FloodError, Rate
from tests.admin.attack_scene import playing
from tests.loopback import raw, until


def burst(kind: type[Message]) -> int:
    rate = RATES[kind]
    assert isinstance(rate, Rate)
    return rate.burst


@pytest.mark.parametrize(("kind", "notice"), [(Remark, Remark("sudo for ann")), (Cancel, Cancel(7))])
async def test_a_flood_of_notices_ends_the_connection_after_a_known_number(
    kind: type[Message], notice: Message, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with playing(tmp_path) as scene:
        acted: list[str] = []
        monkeypatch.setattr(scene.session.lending, "hear_remark", acted.append)
        transport = scene.channel._transport
        assert transport is not None
        data = raw(0, notice)
        while not scene.session.channel.is_lost:
            transport.write(data * 50)
            await asyncio.sleep(0)
        assert isinstance(scene.session.channel.reason, FloodError)
        assert len(acted) <= burst(Remark) + 5
        assert scene.session.channel._frames.qsize() <= burst(kind) + 100


async def test_remarks_that_are_too_many_are_passed_over_and_one_line_tells_it(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        transport = scene.channel._transport
        assert transport is not None
        number = burst(Remark) * (ENDURED // 2)
        transport.write(raw(0, Remark("for sudo")) * number)
        await scene.gives_pin()
        assert not scene.session.channel.is_lost
        scene.ledger.write_counts(at_once=True)
        told = [record.facts for record in audit.read(refusals_path(scene.log)) if record.event == "too-many"]
        assert len(told) == 2
        assert all(facts["message"] == "Remark" for facts in told)
        assert number - burst(Remark) - 20 <= 1 + int(str(told[1]["repeated"])) <= number - burst(Remark)


async def test_pings_without_end_get_no_more_than_the_rate_and_end_the_connection(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        connection, transport = scene.channel._connection, scene.channel._transport
        assert transport is not None
        for _ in range(burst(Ping) + 200):
            if scene.session.channel.is_lost:
                break
            transport.write(connection.ask(Ping())[1])
        await until(lambda: scene.session.channel.is_lost)
        assert isinstance(scene.session.channel.reason, ProtocolError)


async def test_the_machine_of_the_remote_holds_its_own_remarks_back(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        for _ in range(burst(Remark) * (ENDURED + 5)):
            scene.channel.notify(Remark("su for ann, a hundred times a second"))
        await scene.gives_pin()
        assert not scene.session.channel.is_lost
        assert scene.facts("too-many") == []
