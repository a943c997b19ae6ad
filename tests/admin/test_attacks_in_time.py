"""Hostile remotes over real connections, from one link to the next: another account's name, and lies about time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from sra import audit
from sra.admin import kept_connection as staying_module
from sra.admin import session as session_module
from sra.admin.audit_trail import AuditTrail, rule_for
from sra.admin.guard.key_rules import KeyRule
from sra.admin.guard.lending import GuardSettings, LentCard, PauseSwitch
from sra.admin.guard.pin_entry import PinEntry
from sra.admin.guard.pin_memory import PinMemory
from sra.admin.guard.unlocking import Unlocking
from sra.admin.kept_connection import ConnectionSettings, KeptConnection
from sra.admin.session import AdminSession
from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError, SraError
from sra.ledger import Ledger
from sra.piv.keys import PinRequest, Slot
from sra.transport.channel import Channel
from sra.wire import frames
from sra.wire.frames import Frame
from sra.wire.messages import MAX_SECONDS, NO_LIMITS, EjectCard, Goodbye, InsertCard, Message, Remark, SessionLimits
from tests.admin.asking import Slow, typing
from tests.admin.connecting import remote_at
from tests.admin.guard_scene import KEYS, Clock, changed, request_for
from tests.admin.scripted_remote import WELCOME, let_in, take_card
from tests.admin.watching import Watching
from tests.loopback import Door, listening, until
from tests.memory_card import PIN, MemoryCard

SIGN = request_for(Slot.AUTHENTICATION)
SLOTS = frozenset({Slot.AUTHENTICATION})
LIMIT = 60.0


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the usual times, and a look at the clock every few milliseconds."""
    monkeypatch.setattr(staying_module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(staying_module, "LONGEST_SLEEP", 0.005)
    monkeypatch.setattr(session_module, "EJECT_DEADLINE", 0.3)


class Scene:
    """An admin who stays connected, by a clock that the test moves; the remote's ends are what comes in at the door."""

    def __init__(self, folder: Path) -> None:
        self.door, self.card, self.person, self.clock = Door(), MemoryCard(KEYS), Slow(), Clock()
        self.log = folder / "audit.jsonl"
        watcher = AuditTrail(Ledger(self.log, rule_for).record, "remote", Watching())
        terms = GuardSettings(PinEntry.PAD, (KeyRule("*", ("9A",), "allow"),))
        self.lender = LentCard(
            self.card, self.person, watcher, terms, PinMemory(0), PauseSwitch(watcher), clock=self.clock
        )  # fmt: skip
        self.unlocking = Unlocking(self.lender)
        self.port = 0
        self.staying: KeptConnection
        self._serving: list[asyncio.Task[None]] = []

    async def dial(self, away: float) -> AdminSession:
        return await session_module.connect(remote_at(self.port), self.lender, self.unlocking)

    def stay(self, *, idle: float = 0, total: float = 0) -> asyncio.Task[None]:
        self.person.answer(typing(PIN))
        wishes = ConnectionSettings(SLOTS, idle=idle, total=total)
        self.staying = KeptConnection(self.dial, wishes, self.lender.watcher, self.clock)
        return asyncio.create_task(self.staying.run())

    async def takes_card(self, limits: SessionLimits = NO_LIMITS) -> Liar:
        """The remote lets the admin in, with these limits, and takes the card."""
        channel = await self.door.next()
        await let_in(channel, msgspec.structs.replace(WELCOME, limits=limits))
        await take_card(channel)
        liar = Liar(channel)
        self._serving.append(asyncio.create_task(channel.serve(liar)))
        return liar

    async def over(self) -> None:
        await asyncio.gather(*self._serving, return_exceptions=True)


@dataclass
class Liar:
    """Takes every notice and confirms none: an ejection neither."""

    channel: Channel

    async def answer(self, question: Message) -> Message:
        if isinstance(question, InsertCard):
            raise RefusedError(RefusalCode.NO_READER, "Later.")
        raise RefusedError(RefusalCode.INTERNAL, type(question).__name__)

    async def hear(self, notice: Message) -> None:
        """Say nothing."""

    async def tries(self, request: Message) -> str:
        try:
            await self.channel.ask(request)
        except SraError as error:
            return str(error.code) if isinstance(error, RefusedError) else type(error).__name__
        return "done"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A scene, in which no try may be lost; afterwards what was written down is whole."""
    made = Scene(tmp_path)
    async with listening(made.door.welcome) as made.port:
        yield made
        await made.over()
        assert made.card.tries == 3
        assert set(made.card.verifications) <= {PIN}
    assert audit.verify(made.log) is None


async def ends(stay: asyncio.Task[None]) -> str:
    """What the person is told at the end."""
    with pytest.raises(RefusedError) as refused:
        async with asyncio.timeout(5):
            await stay
    return refused.value.text


# Another account's name.


@pytest.mark.parametrize("name", ["root", "Ann", "ann2"])
async def test_a_remote_that_names_another_account_at_the_next_link_gets_no_card(scene: Scene, name: str) -> None:
    stay = scene.stay()
    first = await scene.takes_card()
    first.channel.abort(LinkError("so that the admin comes back"))
    second = await scene.door.next()
    await let_in(second, msgspec.structs.replace(WELCOME, account=name))
    assert f"The remote says “{name}” is your account now, and said “ann” before." in await ends(stay)
    assert isinstance((await second.next_question(1)).message, Goodbye), "and no card"
    assert scene.card.verifications == [PIN], "nothing was asked again"
    assert [record.event for record in audit.read(scene.log)].count("connected") == 1


# Lies about time.

LIES = {
    "nothing": NO_LIMITS,
    "a longer idle time": msgspec.structs.replace(NO_LIMITS, idle=MAX_SECONDS),
    "a longer time in all": msgspec.structs.replace(NO_LIMITS, total=MAX_SECONDS),
}


@pytest.mark.parametrize("limit", ["idle", "total"])
@pytest.mark.parametrize("lie", LIES)
async def test_what_a_remote_says_of_its_limits_makes_ours_no_longer(scene: Scene, lie: str, limit: str) -> None:
    stay = scene.stay(**{limit: LIMIT})
    liar = await scene.takes_card(LIES[lie])
    scene.clock.now += LIMIT - 1
    await asyncio.sleep(0.03)
    assert not stay.done()
    scene.clock.now += 1
    assert "connect again to go on" in await ends(stay)
    await until(lambda: liar.channel.is_lost)


async def test_a_remote_that_keeps_the_link_busy_is_idle_all_the_same(scene: Scene) -> None:
    """Only a use of the card counts, not what is refused, nor what is said."""
    stay = scene.stay(idle=LIMIT)
    liar = await scene.takes_card()
    for _ in range(4):
        scene.clock.now += LIMIT / 4 - 1
        assert await liar.tries(changed(SIGN, slot=Slot.CARD_AUTHENTICATION)) == "not-allowed"
        assert await liar.tries(SIGN) == "pin-needed"
        liar.channel.notify(Remark("busy"))
    scene.clock.now += 4
    assert "was not used for as long" in await ends(stay)


@pytest.mark.parametrize("asked", [SIGN, PinRequest(None)], ids=lambda asked: type(asked).__name__)
async def test_a_remote_that_claims_to_be_idle_has_no_card_to_use(scene: Scene, asked: Message) -> None:
    """It says that its reader is empty, so that nobody looks, and asks on."""
    stay = scene.stay()
    liar = await scene.takes_card()
    scene.person.answer(typing(PIN))
    assert await liar.tries(PinRequest(None)) == "done"
    assert await liar.tries(SIGN) == "done"
    uses, questions = len(scene.card.uses), len(scene.person.asked)
    liar.channel.notify(EjectCard("unused"))
    await until(lambda: scene.staying.session is None or not scene.staying.session.is_inserted)
    transport = liar.channel._transport
    assert transport is not None
    transport.write(frames.encode(Frame(500, asked)))
    with pytest.raises(ProtocolError):
        async with asyncio.timeout(5):
            await stay
    assert (len(scene.card.uses), len(scene.person.asked)) == (uses, questions)
    assert [record.facts["reason"] for record in audit.read(scene.log) if record.event == "ejected"] == ["unused"]
