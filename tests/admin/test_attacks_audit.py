"""What hostile remotes ask and take back: all of it is in the audit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from sra import audit
from sra.admin.guard.rate import MAX_RATE
from sra.piv.keys import KeyReply, KeyRequest, PinRequest, Slot
from sra.wire.messages import Cancel, Message
from tests.admin.asking import NO, YES
from tests.admin.attack_scene import SIGN, playing
from tests.admin.guard_scene import changed, request_for
from tests.loopback import until
from tests.memory_card import MemoryCard


async def test_questions_that_are_taken_back_in_the_same_packet_are_counted_and_written_down(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        await scene.gives_pin()
        connection, transport = scene.channel._connection, scene.channel._transport
        assert transport is not None
        scene.session.lending.lender.meter._recent.clear()
        uses, asked = len(scene.card.uses), 0
        for _ in range(10):
            for _ in range(50):
                number, data = connection.ask(SIGN)
                asked += 1
                transport.write(data + connection.notify(Cancel(number)))
            await until(lambda: not connection._asked)
        assert scene.session.lending.lender.meter.refused > 0
        await until(lambda: bool(scene.facts("flood")))
        assert len(scene.card.uses) == uses
        given_up = counted(fact for fact in scene.facts("refused") if fact["code"] == "timeout")
        assert given_up >= MAX_RATE
        assert any(fact["reason"] == "The remote asks too often." for fact in scene.facts("refused"))
        assert given_up + total(scene.facts("flood")) == asked


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_a_remote_asks_and_takes_back_the_audit_is_complete(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - what the test does, again and again the same
    keys: list[Message] = [SIGN, SIGN, request_for(Slot.KEY_MANAGEMENT), changed(SIGN, input=b"")]
    choices = [*keys, PinRequest(None), PinRequest(b"1")]
    async with playing(tmp_path) as scene:
        await scene.gives_pin()
        before, uses = len(scene.records()), len(scene.card.uses)
        lender = scene.session.lending.lender
        lender.queue._calm = 0
        slow_down(scene.card)
        asked = []
        for _ in range(300):
            asked.append(asyncio.ensure_future(scene.tries_one(chance.choice(choices))))
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.02]))
            scene.person.answer(chance.choice([NO, YES]))
            lender.code.reopen()
            for each in asked:
                if chance.random() < 0.3:
                    each.cancel()
        while not all(each.done() for each in asked):
            scene.person.answer(NO)
            await asyncio.sleep(0.01)
        await until(lambda: lender.meter.refused == 0 and len(scene.facts("key-use")) == len(scene.card.uses) - 1)
        assert before == 3
        told = {event: counted(scene.facts(event)) for event in ("key-use", "refused", "pin")}
        told["pin"] -= 1  # the person's, before all this
        floods = scene.facts("flood")
        too_fast = counted(fact for fact in scene.facts("refused") if fact["code"] == "busy")
        assert told["key-use"] == len(scene.card.uses) - uses
        assert told["key-use"] > 0
        assert told["key-use"] + told["refused"] + told["pin"] - too_fast + total(floods) == len(asked)


def counted(facts: Iterable[dict[str, audit.Fact]]) -> int:
    """How many there were, those included that are only a number."""
    return sum(int(str(fact.get("repeated", 1))) for fact in facts)


def total(floods: list[dict[str, audit.Fact]]) -> int:
    """The requests of these floods."""
    return sum(count for flood in floods if isinstance(count := flood["refused"], int))


def slow_down(card: MemoryCard) -> None:
    """From now on others have their turn while the card uses a key."""
    use = card.use_key

    async def slow(request: KeyRequest) -> KeyReply:
        reply = await use(request)
        await asyncio.sleep(0.003)
        return reply

    card.use_key = slow  # type: ignore[method-assign]
