"""The three ways to give the PIN: on the pad, by the code, or forwarded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.admin.guard.pin_entry import ASKED, FLOOR, PinDesk, PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import Person, PinGiven, QuestionQueue, Requester
from sra.admin.guard.session_code import TRIES, SessionCode
from sra.errors import CardError, PinBlockedError, PinNeededError, PinWrongError, RefusalCode, RefusedError
from sra.piv.keys import PinOutcome, PinReply, PinRequest
from tests.admin.asking import NO, UNANSWERED, YES, PadCard, Scripted, SlowCard, typing
from tests.admin.guard_scene import Clock
from tests.admin.watching import Watching
from tests.memory_card import PIN, MemoryCard

PAD = PinRequest(None)
WRONG = b"000000"


class Desk:
    """A desk, and everything that can be seen of it."""

    def __init__(
        self, entry: PinEntry, answers: Iterable[PinGiven] = (), *, keep: float = 0, card: MemoryCard | None = None,
        known: bool = False,
    ) -> None:  # fmt: skip
        self.card = card or MemoryCard()
        self.clock = Clock()
        self.memory = PinMemory(keep, self.clock)
        self.code = SessionCode()
        self.person = Scripted(answers)
        self.watching = Watching()
        person: Person = self.person
        self.desk = PinDesk(
            self.card,
            entry,
            self.memory,
            self.code,
            person,
            QuestionQueue(),
            self.watching,
            lambda: Requester("host", "ann", "su"),
        )
        if known:
            self.memory.learn_right(PIN)

    @property
    def typed_code(self) -> bytes:
        return self.code.shown.replace(" ", "").encode()

    async def pad(self) -> tuple[PinOutcome, int]:
        return told(await self.desk.check(PAD))

    async def type(self, pin: bytes) -> tuple[PinOutcome, int]:
        return told(await self.desk.check(PinRequest(pin)))


def told(reply: PinReply) -> tuple[PinOutcome, int]:
    return reply.outcome, reply.attempts_remaining


# The pad.


@pytest.mark.parametrize(
    ("answer", "outcome"), [(NO, PinOutcome.CANCELLED), (UNANSWERED, PinOutcome.TIMED_OUT)], ids=["no", "no answer"]
)
async def test_the_person_need_not_give_it(answer: PinGiven, outcome: PinOutcome) -> None:
    desk = Desk(PinEntry.PAD, [answer])
    assert await desk.pad() == (outcome, 3)
    assert desk.card.verifications == []
    assert len(desk.person.pins) == 1


async def test_a_wrong_one_may_be_given_again_and_the_person_is_told_what_is_left() -> None:
    desk = Desk(PinEntry.PAD, [typing(WRONG), typing(PIN)])
    assert await desk.pad() == (PinOutcome.VERIFIED, 3)
    assert desk.card.verifications == [WRONG, PIN]
    assert [question.attempts_remaining for question in desk.person.pins] == [3, 2]
    assert {question.asker for question in desk.person.pins} == {Requester("host", "ann", "su")}


async def test_a_wrong_one_that_is_known_costs_no_try() -> None:
    desk = Desk(PinEntry.PAD, [typing(WRONG)] * ASKED)
    assert await desk.pad() == (PinOutcome.WRONG, 2)
    assert desk.card.verifications == [WRONG]
    assert desk.card.tries == 2
    assert len(desk.person.pins) == ASKED


async def test_a_part_of_a_pin_costs_no_try_and_is_asked_for_again() -> None:
    desk = Desk(PinEntry.PAD, [typing(PIN[-1:]), typing(PIN[:-1]), typing(PIN)])
    assert await desk.pad() == (PinOutcome.VERIFIED, 3)
    assert desk.card.verifications == [PIN]


async def test_the_rest_of_a_known_pin_whose_question_was_swapped_costs_no_try() -> None:
    rest = [typing(b"56"), NO, typing(b"271828"), NO, typing(b"28"), typing(b"271828"), NO]
    rest += [typing(b"6"), NO, typing(b"456"), NO, typing(b"654321"), typing(PIN)]
    desk = Desk(PinEntry.PAD, rest, known=True)
    for _ in range(5):
        assert await desk.pad() == (PinOutcome.CANCELLED, 3)
    assert desk.card.verifications == []
    assert await desk.pad() == (PinOutcome.VERIFIED, 3)


async def test_a_pin_that_was_changed_elsewhere_reaches_the_card_when_it_is_typed_twice() -> None:
    desk = Desk(PinEntry.PAD, [typing(b"999999")] * 3, known=True)
    desk.card.pin = b"999999"
    assert await desk.pad() == (PinOutcome.VERIFIED, 3)
    assert [question.attempts_remaining for question in desk.person.pins] == [3, 3]
    assert desk.card.verifications == [b"999999"]
    assert await desk.pad() == (PinOutcome.VERIFIED, 3)
    assert len(desk.person.pins) == 3


async def test_the_person_may_use_the_cards_last_try() -> None:
    desk = Desk(PinEntry.PAD, [typing(PIN)])
    desk.card.tries = 1
    assert await desk.pad() == (PinOutcome.VERIFIED, 3)


async def test_a_card_that_becomes_blocked_ends_the_question() -> None:
    desk = Desk(PinEntry.PAD, [typing(b"111111"), typing(b"222222"), typing(b"333333")])
    assert await desk.pad() == (PinOutcome.BLOCKED, 0)
    assert len(desk.person.pins) == 3
    assert await desk.pad() == (PinOutcome.BLOCKED, 0)
    assert len(desk.person.pins) == 3


async def test_the_person_may_stop_after_a_wrong_one() -> None:
    desk = Desk(PinEntry.PAD, [typing(WRONG), NO])
    assert await desk.pad() == (PinOutcome.CANCELLED, 2)


async def test_a_kept_pin_needs_a_yes_and_no_card() -> None:
    desk = Desk(PinEntry.PAD, [YES], keep=60, known=True)
    assert await desk.pad() == (PinOutcome.VERIFIED, 3)
    assert desk.person.pins[0].kept
    assert desk.card.verifications == []


async def test_a_pin_that_is_not_kept_any_more_when_the_yes_comes_is_not_given() -> None:
    desk = Desk(PinEntry.PAD, [YES], keep=60, known=True)
    asked = desk.person.ask_pin

    async def late(question: object, waiting: int) -> PinGiven:
        desk.clock.now += 61
        return await asked(question, waiting)  # type: ignore[arg-type]

    desk.person.ask_pin = late  # type: ignore[method-assign]
    assert await desk.pad() == (PinOutcome.TIMED_OUT, 3)
    assert desk.card.verifications == []


@pytest.mark.parametrize(
    ("happens", "outcome", "asked"),
    [
        ([None], (PinOutcome.VERIFIED, 3), 1),
        ([PinWrongError(2), None], (PinOutcome.VERIFIED, 3), 2),
        ([PinBlockedError()], (PinOutcome.BLOCKED, 0), 1),
        ([PinNeededError("not typed")], (PinOutcome.CANCELLED, 3), 1),
    ],
    ids=["right", "wrong, then right", "blocked", "not typed"],
)
async def test_the_readers_own_pad_is_used_where_there_is_one(
    happens: list[CardError | None], outcome: tuple[PinOutcome, int], asked: int
) -> None:
    desk = Desk(PinEntry.PAD, [YES] * asked, keep=60, card=PadCard(happens))
    assert await desk.pad() == outcome
    assert [question.pad for question in desk.person.pins] == [True] * asked
    assert isinstance(desk.card, PadCard)
    assert desk.card.pads == asked
    assert desk.card.verifications == []
    assert desk.memory.kept() is None


# The session code.


@pytest.mark.parametrize("entry", [PinEntry.CODE, PinEntry.PAD])
async def test_the_code_opens_and_asks_nobody(entry: PinEntry) -> None:
    desk = Desk(entry)
    assert await desk.type(desk.typed_code) == (PinOutcome.VERIFIED, TRIES)
    assert desk.card.verifications == []
    assert desk.person.pins == []


@pytest.mark.parametrize("entry", PinEntry)
async def test_the_code_and_what_is_typed_here_or_forwarded_is_no_real_pin_on_the_remote(entry: PinEntry) -> None:
    desk = Desk(entry, known=True)
    assert not desk.desk.is_real_pin(PAD)
    assert not desk.desk.is_real_pin(PinRequest(desk.typed_code))
    assert desk.desk.is_real_pin(PinRequest(PIN)) is (entry is not PinEntry.FORWARD)


@pytest.mark.parametrize("typed", [PIN, WRONG])
async def test_the_real_pin_is_answered_like_any_wrong_one_and_recognised(typed: bytes) -> None:
    desk = Desk(PinEntry.CODE, known=True)
    assert await desk.type(typed) == (PinOutcome.WRONG, TRIES - 1)
    assert desk.desk.is_real_pin(PinRequest(typed)) is (typed == PIN)
    assert desk.card.verifications == []


@pytest.mark.parametrize("entry", PinEntry)
async def test_the_tries_end_in_each_way(entry: PinEntry) -> None:
    desk = Desk(entry, known=True)
    said = [await desk.type(b"%06d" % number) for number in range(TRIES + 2)]
    assert [outcome for outcome, _ in said] == [PinOutcome.WRONG] * (TRIES - 1) + [PinOutcome.BLOCKED] * 3
    assert not desk.code.is_open
    assert desk.card.tries == 3


# Forwarding.


async def test_a_forwarded_pin_goes_to_the_card_once_and_is_known_then() -> None:
    desk = Desk(PinEntry.FORWARD)
    assert (await desk.type(PIN))[0] is PinOutcome.VERIFIED
    assert (await desk.type(PIN))[0] is PinOutcome.VERIFIED
    assert desk.card.verifications == [PIN]


async def test_a_wrong_one_that_is_forwarded_again_costs_nothing_again() -> None:
    desk = Desk(PinEntry.FORWARD)
    assert await desk.type(WRONG) == (PinOutcome.WRONG, 2)
    assert await desk.type(WRONG) == (PinOutcome.WRONG, 1)
    assert desk.card.verifications == [WRONG]


@pytest.mark.parametrize("tries", range(9))
async def test_no_remote_takes_the_counter_below_the_floor_whatever_it_starts_at(tries: int) -> None:
    desk = Desk(PinEntry.FORWARD)
    desk.card.tries = tries
    for number in range(20):
        desk.code.reopen()  # even where the person opens again and again
        if desk.card.tries > FLOOR:
            assert (await desk.type(b"%06d" % number))[0] is PinOutcome.WRONG
            continue
        with pytest.raises(RefusedError) as refused:
            await desk.type(b"%06d" % number)
        assert refused.value.code is RefusalCode.NOT_ALLOWED
    assert desk.card.tries == min(tries, FLOOR)
    assert len(desk.card.verifications) == max(tries - FLOOR, 0)


async def test_unlimited_guessing_is_impossible() -> None:
    desk = Desk(PinEntry.FORWARD)
    desk.card.tries = 15
    for number in range(100):
        await desk.type(b"%06d" % number)
    assert len(desk.card.verifications) == TRIES
    assert desk.card.tries == 15 - TRIES


@pytest.mark.parametrize("tries", [3, 5, 8])
async def test_guesses_at_the_same_time_do_not_cross_the_floor_together(tries: int) -> None:
    desk = Desk(PinEntry.FORWARD, card=SlowCard())
    desk.card.tries = tries
    guesses = (desk.desk.check(PinRequest(b"%06d" % number)) for number in range(20))
    said = await asyncio.gather(*guesses, return_exceptions=True)
    assert desk.card.tries == max(FLOOR, tries - TRIES)
    assert not any(isinstance(one, PinReply) and one.outcome is PinOutcome.VERIFIED for one in said)


@pytest.mark.parametrize("after", range(8))
async def test_a_guess_that_is_given_up_is_counted_all_the_same(after: int) -> None:
    desk = Desk(PinEntry.FORWARD, card=SlowCard())
    desk.card.tries = 8
    for number in range(20):
        guess = asyncio.ensure_future(desk.desk.check(PinRequest(b"%06d" % number)))
        for _ in range(after + 1):
            await asyncio.sleep(0)
        guess.cancel()
        await asyncio.gather(guess, return_exceptions=True)
    async with asyncio.timeout(5):
        await desk.desk._turn.acquire()
    assert len(desk.card.verifications) == TRIES
    assert desk.code.tries == 0


async def test_a_card_that_does_not_tell_its_tries_gets_no_forwarded_pin() -> None:
    class Silent(MemoryCard):
        async def attempts_told(self) -> int | None:
            return None

    desk = Desk(PinEntry.FORWARD, card=Silent())
    for _ in range(TRIES + 1):
        with pytest.raises(RefusedError, match="does not tell how many PIN tries") as refused:
            await desk.type(WRONG)
        assert refused.value.code is RefusalCode.NOT_ALLOWED
    assert desk.card.verifications == []
    desk.memory.learn_right(PIN)
    assert (await desk.type(PIN))[0] is PinOutcome.VERIFIED, "what is known needs no card"


async def test_the_floor_is_told_to_the_person_who_reads_it() -> None:
    desk = Desk(PinEntry.FORWARD)
    desk.card.tries = FLOOR
    with pytest.raises(RefusedError, match=r"Only 2 PIN tries are left.*give the PIN on the admin's side"):
        await desk.type(PIN)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=12), st.integers(0, 8), st.booleans())
async def test_whatever_is_typed_in_whatever_order_the_floor_holds(
    typed: list[tuple[bool, int]], tries: int, known: bool
) -> None:
    desk = Desk(PinEntry.FORWARD, known=known)
    desk.card.tries = tries
    lowest = tries
    for right, number in typed:
        await asyncio.gather(desk.type(PIN if right else b"%06d" % number), return_exceptions=True)
        lowest = min(lowest, desk.card.tries)
    assert lowest >= min(tries, FLOOR)
