"""How the person stops a remote: no, pause, eject, and the ends that come by themselves."""

from __future__ import annotations

import asyncio

import pytest

from sra.admin.events import CardBusy, CodeClosed, Flooded, KeyUsed, Paused, PinAsked, Refused
from sra.admin.guard import guard as guard_module
from sra.admin.guard.guard import MAX_USES, Guard
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.lending import REMARK_COUNTS_FOR
from sra.admin.guard.questions import MAX_WAITING, PinGiven, PinQuestion, UseQuestion
from sra.admin.guard.rate import MAX_RATE
from sra.admin.guard.session_code import TRIES
from sra.errors import RefusalCode, RefusedError
from sra.piv.keys import KeyRequest, PinOutcome, PinReply, PinRequest, Slot
from tests.admin.asking import NO, UNANSWERED, YES, turns
from tests.admin.guard_scene import PAD, TYPED, WRONG, Scene, request_for
from tests.admin.slow_scene import SIGN, Busy, unlocked_scene, why

# Consent.


@pytest.mark.parametrize(("answer", "text"), [(NO, "said no"), (UNANSWERED, "did not answer")], ids=["no", "nothing"])
async def test_without_a_yes_nothing_reaches_the_card(answer: object, text: str) -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    asking = await scene.asked(SIGN)
    (question,) = scene.person.shown
    assert isinstance(question, UseQuestion)
    assert (question.slot, question.hash_name, question.digest) == (SIGN.slot, "sha256", SIGN.input[-32:])
    scene.person.answer(answer)  # type: ignore[arg-type]
    await asyncio.wait([asking])
    assert text in why(asking)
    assert scene.card.uses == []
    assert scene.watching.events[-1] == Refused("sign with slot 9A", asking.exception().text)  # type: ignore[union-attr]


@pytest.mark.parametrize("slot", [Slot.SIGNATURE, Slot.KEY_MANAGEMENT], ids=lambda slot: slot.name)
@pytest.mark.parametrize("answer", [YES, NO], ids=["yes", "no"])
async def test_a_pin_given_for_a_login_lets_nothing_be_signed_or_decrypted_unseen(slot: Slot, answer: PinGiven) -> None:
    scene = await unlocked_scene()
    scene.lending.hear_remark("su for ann")
    pad = await scene.asked(PAD)
    scene.person.answer(YES)
    await pad
    request = request_for(slot)
    asking = await scene.asked(request)
    (question,) = scene.person.shown
    assert isinstance(question, UseQuestion)
    assert (question.asker.remote, question.asker.account) == ("remote.example.com", "ann")
    assert (question.slot, question.operation) == (slot, request.operation)
    if slot is Slot.SIGNATURE:
        assert (question.hash_name, question.digest) == ("sha256", request.input)
    assert scene.card.uses == []
    scene.person.answer(answer)
    await asyncio.wait([asking])
    assert scene.card.uses == ([request] if answer is YES else [])


async def test_a_pin_given_for_a_login_is_enough_for_it() -> None:
    scene = await unlocked_scene()
    pad = await scene.asked(PAD)
    scene.person.answer(YES)
    await pad
    await scene.guard.answer(SIGN)
    assert len(scene.person.asked) == 1


async def test_a_no_is_no_answer_to_the_next_question() -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    for answer in (NO, YES):
        scene.lender.queue._calm_until = 0
        asking = await scene.asked(SIGN)
        scene.person.answer(answer)
        await asyncio.wait([asking])
    assert scene.card.uses == [SIGN]


async def test_one_yes_is_enough_for_those_that_waited_behind_it() -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    asking = [scene.ask(SIGN) for _ in range(4)]
    await turns(lambda: scene.person.shown)
    scene.person.answer(YES)
    await asyncio.gather(*asking)
    assert len(scene.person.asked) == 1
    assert len(scene.card.uses) == 4


async def test_where_every_use_is_asked_about_those_that_waited_are_too() -> None:
    scene = await unlocked_scene(KeyRule("*", ("9A",), "ask"))
    await scene.guard.answer(TYPED)
    asking = [scene.ask(SIGN) for _ in range(3)]
    for answer in (YES, NO, YES):
        scene.person.answer(answer)
    await asyncio.gather(*asking, return_exceptions=True)
    assert len(scene.person.asked) == 3
    assert len(scene.card.uses) == 2


@pytest.mark.parametrize(("answer", "uses"), [("allow", 1), ("deny", 0)])
async def test_a_rule_answers_in_the_persons_place(answer: str, uses: int) -> None:
    scene = await unlocked_scene(KeyRule("*.example.com", ("9A",), answer))
    await scene.guard.answer(TYPED)
    await asyncio.gather(scene.ask(SIGN), return_exceptions=True)
    assert len(scene.card.uses) == uses
    assert scene.person.asked == []


async def test_the_persons_name_for_the_remote_counts_and_what_it_says_is_only_shown() -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    scene.lending.hear_remark("sudo for ann")
    asking = await scene.asked(SIGN)
    (question,) = scene.person.shown
    assert (question.asker.remote, question.asker.account) == ("remote.example.com", "ann")
    assert question.asker.remark == "sudo for ann"
    scene.person.answer(YES)
    await asking
    scene.clock.now += REMARK_COUNTS_FOR
    assert scene.lending.asker().remark == ""


# Asking while the person is asked.


async def test_who_asks_while_the_person_answers_waits_and_too_many_are_refused() -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    first = await scene.asked(PAD)
    others = [scene.ask(SIGN) for _ in range(MAX_WAITING + 2)]
    await turns(lambda: sum(one.done() for one in others) == 2)
    assert [type(question) for question in scene.person.shown] == [PinQuestion]
    assert {why(one).partition("guard refused: ")[2] for one in others if one.done()} == {
        "too many questions wait for the person."
    }
    scene.person.answer(NO)
    assert isinstance(reply := await first, PinReply)
    assert reply.outcome is PinOutcome.CANCELLED
    for _ in others:
        scene.person.answer(NO)
    await asyncio.gather(*others, return_exceptions=True)
    assert scene.card.uses == []


async def test_a_question_that_nobody_waits_for_disappears_and_is_written_down() -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    for request, name in ((PAD, "PIN check"), (SIGN, "sign with slot 9A")):
        scene.lender.queue._calm_until = 0
        asking = await scene.asked(request)
        asking.cancel()
        await asyncio.wait([asking])
        assert scene.person.shown == []
        assert scene.watching.events[-1] == Refused(name, "Nobody waits for it any more.")


# Pause and eject.


@pytest.mark.parametrize("request_", [PAD, SIGN, TYPED], ids=["pad", "key", "typed"])
async def test_while_it_is_paused_everything_is_refused_at_once(request_: KeyRequest | PinRequest) -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    scene.lender.switch.pause(paused=True)
    asking = scene.ask(request_)
    await turns(asking.done)
    assert "the person has paused it" in why(asking)
    assert scene.person.asked == []
    scene.lender.switch.pause(paused=False)
    assert scene.watching.of(Paused) == [Paused(True), Paused(False)]
    again = scene.ask(SIGN)
    await turns(lambda: scene.person.shown)
    scene.person.answer(YES)
    await again


@pytest.mark.parametrize("how", ["pause", "pause for a moment", "eject"])
@pytest.mark.parametrize("request_", [PAD, SIGN], ids=["pad", "key"])
async def test_what_waits_for_the_person_is_refused_and_disappears(how: str, request_: KeyRequest | PinRequest) -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    waiting = [await scene.asked(request_), scene.ask(SIGN), scene.ask(PAD)]
    await turns(lambda: scene.lender.queue._waiting == 2)
    if how == "eject":
        scene.guard.end()
    else:
        scene.lender.switch.pause(paused=True)
    if how == "pause for a moment":
        scene.lender.switch.pause(paused=False)
    await turns(lambda: all(one.done() for one in waiting))
    expected = "The card is ejected" if how == "eject" else "the person has paused it"
    assert all(expected in why(one) for one in waiting)
    assert scene.person.shown == []
    assert scene.card.uses == []


@pytest.mark.parametrize("how", ["pause", "eject"])
async def test_what_waits_for_the_card_is_refused_and_what_it_is_making_stays_here(how: str) -> None:
    scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"), card=Busy())
    assert isinstance(scene.card, Busy)
    await scene.guard.answer(TYPED)
    asking = [scene.ask(SIGN) for _ in range(3)]
    await turns(lambda: scene.card.uses)
    for _ in range(5):
        await asyncio.sleep(0)
    if how == "eject":
        scene.guard.end()
    else:
        scene.lender.switch.pause(paused=True)
    scene.card.may_end.set()
    await asyncio.wait(asking)
    assert scene.card.uses == [SIGN]
    assert all(isinstance(one.exception(), RefusedError) for one in asking)
    assert len(scene.watching.of(KeyUsed)) == 1, "what the card has done is written down"


async def test_a_card_that_takes_long_is_told_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "WAIT_NOTICE", 0.01)
    scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"), card=Busy())
    assert isinstance(scene.card, Busy)
    await scene.guard.answer(TYPED)
    asking = scene.ask(SIGN)
    async with asyncio.timeout(5):
        while not scene.watching.of(CardBusy):  # noqa: ASYNC110 - the timer is the guard's own
            await asyncio.sleep(0.001)
    assert scene.watching.of(CardBusy) == [CardBusy(Slot.AUTHENTICATION)]
    scene.card.may_end.set()
    await asking


async def test_a_card_that_is_quick_is_not() -> None:
    scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"))
    await scene.guard.answer(TYPED)
    await scene.guard.answer(SIGN)
    await asyncio.sleep(0)
    assert scene.watching.of(CardBusy) == []


# Ends that come by themselves.


async def test_there_is_an_end_to_the_uses_of_one_connection() -> None:
    scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"))
    await scene.guard.answer(TYPED)
    scene.lender.meter.uses = MAX_USES - 1
    await scene.guard.answer(SIGN)
    scene.guard = Guard(scene.lending, scene.card.contents.keys)
    asking = scene.ask(SIGN)
    await turns(asking.done)
    assert "enough for one connection" in why(asking)


async def test_when_the_code_is_closed_keys_and_pad_are_too_until_the_person_opens_it() -> None:
    async def body(scene: Scene) -> None:
        await scene.guard.answer(TYPED)
        for _ in range(TRIES):
            await scene.outcome(WRONG)
        assert len(scene.watching.of(CodeClosed)) == 1
        assert "something wrong was typed too often" in await scene.refusal(request_for(Slot.CARD_AUTHENTICATION))
        assert await scene.outcome(PAD) == (PinOutcome.BLOCKED, 0)
        await scene.outcome(WRONG)
        assert len(scene.watching.of(CodeClosed)) == 1
        scene.lender.code.reopen()
        assert (await scene.outcome(TYPED))[0] is PinOutcome.VERIFIED
        await scene.guard.answer(SIGN)

    await body(Scene())


async def test_a_thousand_questions_a_second_are_fifty() -> None:
    scene = await unlocked_scene(KeyRule("*", ("9A",), "allow"))
    await scene.guard.answer(TYPED)
    scene.clock.now += 1
    for number in range(1000):
        scene.clock.now += 0.000999
        await asyncio.gather(scene.ask(SIGN if number % 2 else WRONG), return_exceptions=True)
    assert len(scene.watching.of(PinAsked)) + len(scene.watching.of(KeyUsed)) <= MAX_RATE + 1
    told = len(scene.watching.of(PinAsked)) + len(scene.watching.of(KeyUsed)) + len(scene.watching.of(Refused))
    assert len(scene.watching.events) < 2 * MAX_RATE
    scene.guard.end()
    (flood,) = scene.watching.of(Flooded)
    assert told - 1 + flood.refused == 1001
    assert scene.card.tries == 3


async def test_after_the_end_everything_is_refused() -> None:
    scene = await unlocked_scene()
    await scene.guard.answer(TYPED)
    scene.guard.end()
    for request in (PAD, SIGN, TYPED):
        asking = scene.ask(request)
        await turns(asking.done)
        assert why(asking).startswith(RefusalCode.NOT_INSERTED)
