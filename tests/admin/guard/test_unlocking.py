"""The PIN at connect: asked once, and again after a link was away for too long."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sra.admin.guard.lending import GuardSettings, LentCard, PauseSwitch
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.questions import PinGiven
from sra.admin.guard.unlocking import Unlocking
from sra.errors import CardError, PinBlockedError, PinNeededError, PinWrongError, RefusedError
from sra.piv.keys import Algorithm, Slot
from tests.admin.asking import NO, UNANSWERED, YES, PadCard, Scripted, typing
from tests.admin.guard_scene import Clock, request_for
from tests.admin.watching import Watching
from tests.memory_card import PIN, MemoryCard

WRONG = b"000000"


class Scene:
    """A card that is to be unlocked."""

    def __init__(self, answers: Iterable[PinGiven], *, keep: float = 0, card: MemoryCard | None = None) -> None:
        self.card = card or MemoryCard()
        self.person = Scripted(answers)
        self.memory = PinMemory(keep, Clock())
        watching = Watching()
        lender = LentCard(self.card, self.person, watching, GuardSettings(), self.memory, PauseSwitch(watching))
        self.code = lender.code
        self.unlocking = Unlocking(lender, resume_within=120)

    async def use(self) -> None:
        await self.card.use_key(request_for(Slot.AUTHENTICATION, Algorithm.P256))


async def test_the_pin_is_asked_once() -> None:
    scene = Scene([typing(PIN)])
    for _ in range(3):
        await scene.unlocking.unlock("host")
        await scene.use()
    assert len(scene.person.pins) == 1
    (question,) = scene.person.pins
    assert (question.asker.remote, question.asker.account, question.kept) == ("host", "", False)


@pytest.mark.parametrize("answer", [NO, UNANSWERED], ids=["no", "no answer"])
async def test_without_it_nothing_is_connected(answer: PinGiven) -> None:
    scene = Scene([answer])
    with pytest.raises(PinNeededError, match="nothing was connected"):
        await scene.unlocking.unlock("host")
    assert scene.card.verifications == []


async def test_who_stops_after_a_wrong_one_is_told_that_it_was_wrong() -> None:
    scene = Scene([typing(WRONG), NO])
    with pytest.raises(PinWrongError, match="2 tries"):
        await scene.unlocking.unlock("host")
    assert scene.memory.is_known_wrong(WRONG)


async def test_a_wrong_one_may_be_corrected() -> None:
    scene = Scene([typing(WRONG), typing(PIN)])
    await scene.unlocking.unlock("host")
    assert [question.attempts_remaining for question in scene.person.pins] == [3, 2]
    assert scene.memory.is_right(PIN)


async def test_a_blocked_card_is_not_asked_about() -> None:
    scene = Scene([])
    scene.card.tries = 0
    with pytest.raises(PinBlockedError):
        await scene.unlocking.unlock("host")
    assert scene.person.pins == []


async def test_the_last_wrong_one_blocks_the_card_and_ends_it() -> None:
    scene = Scene([typing(WRONG)])
    scene.card.tries = 1
    with pytest.raises(PinBlockedError):
        await scene.unlocking.unlock("host")


async def test_within_the_window_nothing_is_asked_again_and_the_card_stays_unlocked() -> None:
    scene = Scene([typing(PIN)], keep=3600)
    await scene.unlocking.unlock("host")
    code = scene.code.shown
    await scene.unlocking.was_away(120)
    assert scene.code.shown == code
    await scene.unlocking.unlock("host")
    await scene.use()
    assert len(scene.person.pins) == 1
    assert scene.memory.kept() == PIN


async def test_after_the_window_everything_is_asked_again_and_the_card_is_locked() -> None:
    scene = Scene([typing(PIN), typing(PIN)], keep=3600)
    await scene.unlocking.unlock("host")
    code = scene.code.shown
    await scene.unlocking.was_away(120.1)
    assert scene.code.shown != code
    assert scene.memory.kept() is None
    assert scene.memory.is_right(PIN) is None
    with pytest.raises(PinNeededError):
        await scene.use()
    await scene.unlocking.unlock("host")
    await scene.use()
    assert len(scene.person.pins) == 2


async def test_a_card_that_wants_it_again_gets_the_one_that_is_kept() -> None:
    scene = Scene([typing(PIN)], keep=3600)
    await scene.unlocking.unlock("host")
    scene.card.forget_pin()
    await scene.unlocking.unlock("host", again=True)
    await scene.use()
    assert len(scene.person.pins) == 1


async def test_a_kept_one_that_is_wrong_now_is_tried_once() -> None:
    scene = Scene([typing(PIN)], keep=3600)
    await scene.unlocking.unlock("host")
    scene.card.pin = b"999999"
    with pytest.raises(PinWrongError):
        await scene.unlocking.unlock("host", again=True)
    assert scene.memory.kept() is None
    assert scene.card.tries == 2


async def test_a_card_that_wants_it_again_has_it_asked_where_none_is_kept() -> None:
    scene = Scene([typing(PIN), typing(PIN)])
    await scene.unlocking.unlock("host")
    await scene.unlocking.unlock("host", again=True)
    assert len(scene.person.pins) == 2


async def test_what_can_be_no_pin_costs_no_try_and_is_asked_for_again() -> None:
    scene = Scene([typing(b"6"), typing(PIN)])
    await scene.unlocking.unlock("host")
    assert scene.card.verifications == [PIN]


async def test_it_may_be_typed_on_the_readers_pad() -> None:
    happens: list[CardError | None] = [PinWrongError(2), None]
    scene = Scene([YES, YES], card=PadCard(happens))
    await scene.unlocking.unlock("host")
    assert isinstance(scene.card, PadCard)
    assert scene.card.pads == 2
    assert scene.memory.is_right(PIN) is None


async def test_a_remote_that_swaps_the_account_at_the_next_link_is_refused() -> None:
    scene = Scene([])
    scene.unlocking.check_account("ann")
    scene.unlocking.check_account("ann")
    with pytest.raises(RefusedError, match="“root” is your account now, and said “ann” before"):
        scene.unlocking.check_account("root")
