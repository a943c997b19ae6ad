"""The guard, when nobody waits any more for what the card has begun."""

from __future__ import annotations

import asyncio

import pytest

from sra.admin.events import KeyUsed, PinAsked, Refused
from sra.admin.guard.guard import CUT_OFF, DEFECT, NOBODY_WAITS
from sra.admin.guard.key_rules import KeyRule
from sra.errors import CardError, UsageError
from sra.piv.keys import KeyReply, KeyRequest, PinOutcome
from tests.admin.asking import turns
from tests.admin.guard_scene import KEYS, TYPED
from tests.admin.slow_scene import SIGN, WRONG_UNKNOWN, Busy, SlowScene, unlocked_scene
from tests.memory_card import MemoryCard


async def test_what_the_card_has_begun_is_counted_and_written_down_though_nobody_waits_any_more() -> None:
    scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"), card=Busy())
    assert isinstance(scene.card, Busy)
    await scene.guard.answer(TYPED)
    before = scene.lending.last_use
    asking, behind = scene.ask(SIGN), scene.ask(SIGN)
    await turns(lambda: scene.card.uses)
    for each in (asking, behind):
        each.cancel()
    await asyncio.wait([asking, behind])
    scene.clock.now += 1
    assert scene.watching.of(KeyUsed) == []
    scene.card.may_end.set()
    await turns(lambda: scene.watching.of(KeyUsed))
    assert scene.card.uses == [SIGN], "the one behind it was not begun"
    assert scene.watching.of(Refused) == [Refused("sign with slot 9A", NOBODY_WAITS)]
    assert (scene.lender.meter.uses, scene.lending.last_use) == (1, before + 1)
    await scene.guard.answer(SIGN)


async def test_what_the_card_refuses_is_written_down_though_nobody_waits_any_more() -> None:
    scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"), card=Busy())
    assert isinstance(scene.card, Busy)
    await scene.guard.answer(TYPED)
    scene.card.fails = CardError("not touched")
    asking = scene.ask(SIGN)
    await turns(lambda: scene.card.uses)
    asking.cancel()
    await asyncio.wait([asking])
    scene.card.may_end.set()
    await turns(lambda: scene.watching.of(Refused))
    assert scene.watching.of(Refused) == [Refused("sign with slot 9A", "not touched")]
    assert scene.lender.meter.uses == 0


@pytest.mark.parametrize(
    ("error", "told"),
    [(UsageError("The card does not take that."), "The card does not take that."), (OSError("a secret"), DEFECT)],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_goes_wrong_at_the_card_is_written_down(error: Exception, told: str) -> None:
    class Broken(MemoryCard):
        async def use_key(self, request: KeyRequest) -> KeyReply:
            raise error

        async def verify_pin(self, pin: bytes) -> None:
            if self.verifications:
                raise error
            await super().verify_pin(pin)

    scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"), card=Broken(KEYS), known=False)
    for request, name in ((WRONG_UNKNOWN, "PIN check"), (SIGN, "sign with slot 9A")):
        scene.guard._verified = True
        with pytest.raises(type(error)):
            await scene.guard.answer(request)
        assert scene.watching.events[-1] == Refused(name, told)


def test_what_the_card_was_at_when_the_program_ended_is_written_down() -> None:
    async def program() -> SlowScene:
        scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"), card=Busy())
        await scene.guard.answer(TYPED)
        scene.ask(SIGN)
        await turns(lambda: scene.card.uses)
        return scene

    scene = asyncio.run(program())
    assert scene.watching.of(Refused) == [Refused("sign with slot 9A", CUT_OFF)]


async def test_a_forwarded_pin_that_nobody_waits_for_any_more_is_written_down_with_what_came_of_it() -> None:
    class Slower(MemoryCard):
        async def verify_pin(self, pin: bytes) -> None:
            try:
                await super().verify_pin(pin)
            finally:
                for _ in range(10):
                    await asyncio.sleep(0)

    scene = await unlocked_scene(card=Slower(KEYS), known=False)
    asking = scene.ask(WRONG_UNKNOWN)
    await turns(lambda: scene.card.verifications[1:])
    asking.cancel()
    await asyncio.wait([asking])
    await turns(lambda: scene.watching.of(PinAsked))
    assert scene.watching.of(Refused) == [Refused("PIN check", NOBODY_WAITS)]
    assert scene.watching.of(PinAsked) == [PinAsked(True, PinOutcome.WRONG)]
