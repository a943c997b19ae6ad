"""Hostile remotes over real connections: none of them costs the card a try, and all of it is written down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sra.admin import session as session_module
from sra.admin.audit_trail import NAMES, AuditTrail
from sra.admin.events import Event
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.questions import MAX_NOES
from sra.admin.guard.rate import MAX_RATE
from sra.admin.guard.session_code import TRIES
from sra.errors import CardRemovedError, LinkError, ProtocolError, SraError
from sra.piv.keys import KeyReply, KeyRequest, Operation, PinOutcome, PinReply, PinRequest, Slot
from sra.transport.channel import Channel
from sra.wire import frames
from sra.wire.frames import Frame
from sra.wire.messages import Attach, Challenge, EjectCard, Hello, Message, Proof, Remark
from sra.wire.states import TABLE, Role, State
from tests.admin.asking import NO, typing
from tests.admin.attack_scene import SIGN, playing
from tests.admin.connecting import connect
from tests.admin.guard_scene import changed, request_for
from tests.admin.scripted_remote import WELCOME
from tests.loopback import until
from tests.memory_card import PIN, MemoryCard
from tests.memory_remote import running_remote


async def test_a_thousand_questions_a_second_are_slowed_down(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        await scene.gives_pin()
        loop = asyncio.get_running_loop()
        begun, outcomes = loop.time(), []
        for _ in range(25):
            outcomes += await scene.tries(*[SIGN] * 40)
        seconds = int(loop.time() - begun) + 1
        assert 0 < outcomes.count("done") <= MAX_RATE * seconds + MAX_RATE
        assert outcomes.count("done") + outcomes.count("not-allowed") == 1000
        assert len(scene.facts("key-use")) == outcomes.count("done")


@pytest.mark.parametrize("entry", PinEntry)
async def test_guessing_for_ever_closes_the_card_for_that_remote(entry: PinEntry, tmp_path: Path) -> None:
    async with playing(tmp_path, entry=entry) as scene:
        await scene.gives_pin()
        outcomes = [await scene.tries_one(PinRequest(b"%06d" % number)) for number in range(60)]
        assert outcomes[:TRIES] == ["wrong"] * (TRIES - 1) + ["blocked"]
        assert set(outcomes[TRIES:]) == {"blocked", "not-allowed"}
        assert len(scene.facts("code-closed")) == 1
        scene.session.lending.lender.meter._recent.clear()
        assert await scene.tries(SIGN, PinRequest(None), PinRequest(PIN)) == ["not-allowed", "blocked", "blocked"]


@pytest.mark.parametrize("typed", [PIN, b"000000"], ids=["the real PIN", "another"])
async def test_that_it_was_the_real_pin_is_recorded_after_the_answer_has_left(
    typed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    notice, write = AuditTrail.notice, Channel._write

    def noticed(self: AuditTrail, event: Event) -> None:
        done.append(NAMES[type(event)])
        notice(self, event)

    def written(self: Channel, data: bytes, number: int, message: Message) -> None:
        done.append(type(message).__name__)
        write(self, data, number, message)

    async with playing(tmp_path, entry=PinEntry.CODE) as scene:
        monkeypatch.setattr(AuditTrail, "notice", noticed)
        monkeypatch.setattr(Channel, "_write", written)
        assert await scene.tries(PinRequest(typed)) == ["wrong"]
        await until(lambda: len(done) == 3 + (typed == PIN))
        assert done == ["PinRequest", "pin", "PinReply", *(["real-pin-typed"] if typed == PIN else [])]


async def test_keys_that_are_not_inserted_and_the_wrong_purposes_are_refused(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        await scene.gives_pin()
        uses = len(scene.card.uses)
        asked = [request_for(slot) for slot in (Slot.SIGNATURE, Slot.CARD_AUTHENTICATION, Slot.RETIRED_1)]
        asked += [changed(SIGN, operation=Operation.DECRYPT), changed(SIGN, operation=Operation.DERIVE)]
        asked += [changed(request_for(Slot.KEY_MANAGEMENT), operation=Operation.SIGN)]
        assert set(await scene.tries(*asked)) == {"not-allowed"}
        assert len(scene.card.uses) == uses
        assert [fact["what"] for fact in scene.facts("refused")][-1] == "sign with slot 9D"


async def test_a_remote_that_asks_while_the_person_answers_gets_no_answer_to_anything_else(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        scene.session.lending.lender.queue._calm = 0
        first = asyncio.create_task(scene.tries_one(PinRequest(None)))
        await until(lambda: bool(scene.person.shown))
        others = [asyncio.create_task(scene.tries_one(PinRequest(None))) for _ in range(12)]
        await until(lambda: sum(other.done() for other in others) == 4)
        assert len(scene.person.shown) == 1
        scene.person.answer(typing(PIN))
        assert await first == "verified"
        assert [other.result() for other in others if other.done()] == ["not-allowed"] * 4
        for _ in range(MAX_NOES):
            scene.person.answer(NO)
        outcomes = [await other for other in others]
        assert outcomes.count("cancelled") == MAX_NOES
        assert outcomes.count("not-allowed") == 12 - MAX_NOES
        assert [fact["questions"] for fact in scene.facts("asked-in-vain")] == [MAX_NOES]


async def test_a_remote_that_never_gets_a_yes_asks_for_a_while_and_no_more(tmp_path: Path) -> None:
    async with playing(tmp_path, rules=(KeyRule("*", ("9A",), "allow"),)) as scene:
        lender = scene.session.lending.lender
        lender.queue._calm = 0
        await scene.gives_pin()
        shown = len(scene.person.asked)
        scene.person.answer(NO)
        assert await scene.tries(PinRequest(None)) == ["cancelled"]
        for _ in range(MAX_NOES - 1):
            scene.person.answer(NO)
        asked: list[Message] = [PinRequest(None), request_for(Slot.KEY_MANAGEMENT)]
        outcomes = [await scene.tries_one(request) for request in asked * 9]
        assert outcomes[0] == "cancelled"
        assert set(outcomes[1:]) == {"not-allowed"}
        assert len(scene.person.asked) == shown + MAX_NOES
        assert await scene.tries(SIGN) == ["done"], "what a rule allows is no question"
        lender.resume()
        await scene.gives_pin()


async def test_an_answer_is_for_the_question_that_was_shown_and_no_other(tmp_path: Path) -> None:
    async with playing(tmp_path, rules=(KeyRule("*", ("9A", "9D"), "ask"),)) as scene:
        await scene.gives_pin()
        assert await scene.tries_one(SIGN) == "done", "which the PIN was for"
        decrypting = request_for(Slot.KEY_MANAGEMENT)
        harmless = asyncio.create_task(scene.tries_one(SIGN))
        await until(lambda: bool(scene.person.shown))
        scene.channel.notify(Remark("only a harmless signature"))
        swapped = asyncio.create_task(scene.tries_one(decrypting))
        harmless.cancel()
        await until(lambda: not scene.person.shown)
        pressed = asyncio.get_running_loop().time()
        await until(lambda: bool(scene.person.shown))
        assert asyncio.get_running_loop().time() - pressed > 0.9, "a key pressed for the one would answer the other"
        scene.person.answer(NO)
        assert await swapped == "not-allowed"
        assert decrypting not in scene.card.uses


async def test_floods_of_questions_and_cancels_leave_nothing_on_the_screen_and_are_written_down(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        for _ in range(20):
            asking = [asyncio.create_task(scene.channel.ask(PinRequest(None))) for _ in range(2)]
            await asyncio.sleep(0)
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        assert await scene.tries_one(changed(SIGN, slot=Slot.CARD_AUTHENTICATION)) == "not-allowed"
        assert scene.person.shown == []
        scene.session.lending.lender.meter._recent.clear()
        shown = asyncio.create_task(scene.channel.ask(PinRequest(None)))
        await until(lambda: bool(scene.person.shown))
        shown.cancel()
        await until(lambda: not scene.person.shown)
        assert scene.facts("refused")[-1]["reason"] == "Nobody waits for it any more."
        await scene.gives_pin()


@pytest.mark.parametrize(
    "said",
    [
        Frame(1, KeyReply(b"x")),
        Frame(99, PinReply(PinOutcome.VERIFIED, 3)),
        Frame(3, Challenge(1, bytes(32))),
        Frame(9, Attach(bytes(32), 0)),
        Frame(9, Hello((1,), bytes(32), b"")),
        Frame(0, SIGN),
    ],
    ids=["a reply to nothing", "a PIN reply", "another challenge", "a virtual card's word", "a hello", "no number"],
)
async def test_replies_and_messages_out_of_turn_end_the_connection(said: Frame, tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        await scene.gives_pin()
        uses = len(scene.card.uses)
        transport = scene.channel._transport
        assert transport is not None
        transport.write(frames.encode(said))
        with pytest.raises(SraError):
            await scene.session.hold()
        assert len(scene.card.uses) == uses


async def test_a_question_number_is_taken_once(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        await scene.gives_pin()
        transport = scene.channel._transport
        assert transport is not None
        again = frames.encode(Frame(500, SIGN))
        transport.write(again + again)
        with pytest.raises((ProtocolError, LinkError)):
            await scene.session.hold()


async def test_a_card_that_is_pulled_is_gone_though_the_remote_keeps_the_link_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "EJECT_DEADLINE", 0.3)
    async with playing(tmp_path) as scene:
        await scene.gives_pin()
        holding = asyncio.create_task(scene.session.hold())
        await asyncio.sleep(0)
        uses = len(scene.card.uses)
        asking = asyncio.create_task(scene.tries_one(PinRequest(None)))
        await until(lambda: bool(scene.person.shown))
        scene.card.pull()
        await until(lambda: not scene.person.shown)
        assert await asking == "not-inserted"
        with pytest.raises(CardRemovedError):
            await holding
        assert len(scene.card.uses) == uses
        assert scene.channel.is_lost or scene.session._channel.is_lost


async def test_what_a_remote_calls_its_account_and_its_reason_is_only_written_down(tmp_path: Path) -> None:
    async with playing(tmp_path) as scene:
        scene.channel.notify(Remark("\x1b[2Jaccount root"))
        scene.channel.notify(EjectCard("\x1b[2J"))
        await scene.session.hold()
        assert scene.facts("ejected")[-1] == {
            "remote": "remote",
            "account": "ann",
            "session": WELCOME.session,
            "reason": "?[2J",
            "wished": False,
        }


# Another admin on the same, honest remote.


FOR_OTHERS: list[Message] = [
    SIGN, PinRequest(None), PinRequest(PIN), KeyReply(b"x"), PinReply(PinOutcome.VERIFIED, 3), Attach(bytes(32), 0),
    Proof(bytes(64)), Remark("sudo for root"),
]  # fmt: skip


@pytest.mark.parametrize("said", FOR_OTHERS, ids=lambda said: type(said).__name__)
@pytest.mark.parametrize("number", [0, 7])
async def test_another_admin_of_the_remote_reaches_nobody_elses_reader(said: Message, number: int) -> None:
    async with running_remote(readers=2) as remote:
        ann, bob = MemoryCard(), MemoryCard(owner="bob")
        remote.accounts.pair(ann, "ann")
        remote.accounts.pair(bob, "bob")
        hers = await connect(remote.port, ann)
        await hers.insert({Slot.AUTHENTICATION})
        his = await connect(remote.port, bob)
        uses, tries = len(ann.uses), list(ann.verifications)
        transport = his._channel._transport
        assert transport is not None
        transport.write(frames.encode(Frame(number, said)))
        await until(lambda: his._channel.is_lost)
        assert hers.is_inserted
        assert [len(reader.present) for reader in remote.readers] == [1, 0]
        assert (len(ann.uses), ann.verifications) == (uses, tries)
        await his.close("over")
        await hers.close("over")


def test_no_word_of_an_admin_is_about_a_reader() -> None:
    said = {kind for moves in TABLE.values() for role, kind in moves if role is Role.ADMIN}
    asked = {KeyRequest, PinRequest}
    in_session = {kind for role, kind in TABLE[State.INSERTED] if role is Role.ADMIN}
    assert not asked & in_session
    assert not asked & said
