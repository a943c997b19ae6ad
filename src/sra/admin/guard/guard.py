"""Every request of a remote passes ``Guard.answer``: the one place where this machine says yes or no.

The remote is not trusted. What it asks is decided here from what *this* side knows: which slots were inserted, what
each key is for, what a signing block really signs, what the person's rules and answers are, whether the PIN was
checked. The PIN itself stays here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from sra.admin.events import (
    BY_PERSON,
    CardBusy,
    CodeClosed,
    Flooded,
    KeyUsed,
    PinAsked,
    QuestionsStopped,
    RealPinTyped,
    Refused,
)
from sra.admin.guard.consent import Requirement
from sra.admin.guard.decrypting_keys import is_signature, signing_moduli
from sra.admin.guard.lending import LendingState
from sra.admin.guard.pin_entry import to_its_end
from sra.admin.guard.questions import PersonReply, TooManyQuestionsError, UseQuestion
from sra.admin.guard.rate import RATE_PERIOD
from sra.admin.guard.review import not_allowed, review
from sra.admin.guard.signing_blocks import Signed
from sra.errors import PinBlockedError, PinNeededError, PinWrongError, RefusalCode, RefusedError, SraError
from sra.piv.keys import (
    KeyDescription,
    KeyReply,
    KeyRequest,
    Operation,
    PinOutcome,
    PinPolicy,
    PinReply,
    PinRequest,
    Slot,
)
from sra.system.processes import first_of

MAX_USES = 10_000
"""Key uses until the person connects anew: a working day at one every three seconds."""
WAIT_NOTICE = 1.5
"""Seconds after which the person is told that the card waits, perhaps for a touch."""

NOBODY_WAITS = "Nobody waits for it any more."
DEFECT = "An error inside the program."
CUT_OFF = "The program ended while the card was at work; it may have done it."

_T = TypeVar("_T")


class Guard:
    """Decides what a remote gets of the inserted card."""

    def __init__(self, lending: LendingState, inserted: tuple[KeyDescription, ...]) -> None:
        self._lending = lending
        self._meter = lending.lender.meter
        self._card = lending.lender.card
        self._watcher = lending.lender.watcher
        self._keys = {key.slot: key for key in inserted}
        self._signing = signing_moduli(self._card.contents)
        self._verified = False
        self._verified_for_next = False
        self._flood_timer: asyncio.TimerHandle | None = None
        self._one_at_a_time = asyncio.Lock()
        self._ended = asyncio.Event()

    async def answer(self, request: KeyRequest | PinRequest) -> KeyReply | PinReply:
        """Do what the remote asks, or raise ``RefusedError`` or another ``SraError``; either is recorded."""
        self._check_rate(_describe(request))
        with self._recording(request, NOBODY_WAITS):
            await asyncio.sleep(0)  # a Cancel that came with it ends it here: counted and recorded, and not done
            if isinstance(request, PinRequest):
                return await self._check_pin(request)
            self._check_open()
            signed = await self._decide(request)
            await self._one_at_a_time.acquire()
        return await to_its_end(self._use_key(request, signed))

    def end(self) -> None:
        """The card is ejected: questions to the person disappear, and nothing is answered any more."""
        self._ended.set()
        self._tell_flood()

    @property
    def has_ended(self) -> bool:
        """Whether nothing is answered any more."""
        return self._ended.is_set()

    @contextlib.contextmanager
    def _recording(self, request: KeyRequest | PinRequest, when_cancelled: str) -> Iterator[None]:
        """Write down what is refused, fails, or is given up."""
        try:
            yield
        except Exception as error:
            text = str(error) if isinstance(error, SraError) else DEFECT
            self._watcher.notice(Refused(_describe(request), text, _code(error)))
            raise
        except asyncio.CancelledError:
            self._watcher.notice(Refused(_describe(request), when_cancelled, RefusalCode.TIMEOUT))
            raise

    # Floods

    def _check_rate(self, what: str) -> None:
        """Refuse what comes too fast; of a flood the first and the total are events, or a remote could fill the log."""
        if self._meter.admits(self._lending.clock()):
            return
        error = RefusedError(RefusalCode.NOT_ALLOWED, "The remote asks too often.")
        if self._meter.refused == 1:
            self._watcher.notice(Refused(what, error.text, RefusalCode.BUSY))
            self._await_calm()
        raise error

    def _await_calm(self) -> None:
        self._flood_timer = asyncio.get_running_loop().call_later(RATE_PERIOD, self._end_flood)

    def _end_flood(self) -> None:
        if self._meter.flood_is_over(self._lending.clock()):
            self._tell_flood()
        else:
            self._await_calm()

    def _tell_flood(self) -> None:
        if self._flood_timer is not None:
            self._flood_timer.cancel()
        if refused := self._meter.take_refused():
            self._watcher.notice(Flooded(refused))

    def _check_lent(self) -> None:
        if self._ended.is_set():
            raise RefusedError(RefusalCode.NOT_INSERTED, "The card is ejected.")
        if self._lending.lender.switch.paused:
            raise not_allowed("the person has paused it")

    def _check_open(self) -> None:
        self._check_lent()
        if not self._lending.lender.code.is_open:
            raise not_allowed("something wrong was typed too often; the person has to open it again")
        if self._meter.uses >= MAX_USES:
            raise not_allowed(f"{MAX_USES} uses are enough for one connection")

    # Keys

    async def _decide(self, request: KeyRequest) -> Signed:
        """What would be signed, if the key may be used for it; ``RefusedError`` if not."""
        signed = review(request, self._keys, allow_raw_rsa=self._lending.lender.terms.allow_raw_rsa)
        if not self._take_verified(self._keys[request.slot]):
            raise RefusedError(RefusalCode.PIN_NEEDED, "The PIN has to be checked first.")
        await self._get_consent(request, signed)
        return signed

    async def _use_key(self, request: KeyRequest, signed: Signed) -> KeyReply:
        """Have the card do it, count it and write it down, and let the next one have its turn."""
        begun = self._lending.clock()
        with self._recording(request, CUT_OFF):
            try:
                self._check_open()  # the person may have paused while this waited
                with self._telling_if_it_waits(request.slot):
                    reply = await self._use_on_card(request, self._keys[request.slot])
                self._check_decrypted(request, reply)
            finally:
                self._one_at_a_time.release()
            self._meter.uses += 1
            self._lending.last_use = self._lending.clock()
            took = (self._lending.last_use - begun) * 1000
            self._watcher.notice(KeyUsed(request.slot, request.operation, signed.hash_name, signed.digest, took))
            self._check_lent()  # what was made while the person stopped it stays here
            return reply

    def _check_decrypted(self, request: KeyRequest, reply: KeyReply) -> None:
        """Keep back what a signing key has decrypted: a slot may hold one though its certificate names another."""
        if request.operation is Operation.DECRYPT and is_signature(reply.output, request.input, self._signing):
            raise not_allowed(f"slot {request.slot:02X} has a key that signs, and its certificate names another one")

    def _take_verified(self, key: KeyDescription) -> bool:
        """The PIN policy, once more on this side: a remote that skips the question gets nothing."""
        if key.pin_policy is PinPolicy.NEVER:
            return True
        if key.pin_policy is PinPolicy.ALWAYS:
            fresh, self._verified_for_next = self._verified_for_next, False
            return fresh
        return self._verified

    async def _get_consent(self, request: KeyRequest, signed: Signed) -> None:
        """The rules' or the person's yes, or ``RefusedError``."""
        need = self._lending.consent.need(request.slot)
        if need is Requirement.NEVER:
            raise not_allowed(f"a rule forbids the use of key {request.slot:02X}")
        if need is Requirement.QUESTION:
            await self._while_lent(self._ask(request, signed))

    async def _ask(self, request: KeyRequest, signed: Signed) -> None:
        lender = self._lending.lender
        question = UseQuestion(self._lending.asker(), request.slot, request.operation, signed.hash_name, signed.digest)
        try:
            reply = await lender.queue.ask(lambda waiting: self._ask_in_turn(question, waiting), PersonReply.UNANSWERED)
        except TooManyQuestionsError as error:
            raise not_allowed(str(error)) from None
        if reply is not PersonReply.YES:
            raise _UnwantedError("the person said no" if reply is PersonReply.NO else "the person did not answer")

    async def _ask_in_turn(self, question: UseQuestion, waiting: int) -> PersonReply:
        """The answer; not asked again where the one to another question, given while this one waited, is enough."""
        if self._lending.consent.is_granted(question.slot):
            return PersonReply.YES
        reply = await self._lending.lender.person.ask_use(question, waiting)
        if reply is PersonReply.YES:
            self._lending.consent.granted(question.slot)
        return reply

    async def _while_lent(self, question: Coroutine[Any, Any, _T]) -> _T:
        """The answer, or ``RefusedError`` as soon as the person pauses or ejects: then the question disappears."""
        ends = (self._lending.lender.switch.wait_paused(), self._ended.wait())
        try:
            async with first_of(question, *ends, until_all_ended=True) as (asking, paused, ended):
                self._check_lent()
                if paused.done() or ended.done():  # paused and resumed in one moment
                    raise not_allowed("the person has paused it")
                answer: _T = asking.result()
                return answer
        finally:
            if asked := self._lending.lender.queue.take_news():
                self._watcher.notice(QuestionsStopped(asked))

    async def _use_on_card(self, request: KeyRequest, key: KeyDescription) -> KeyReply:
        kept = self._lending.lender.memory.kept()
        if key.pin_policy is PinPolicy.ALWAYS and kept:
            await self._verify_on_card(kept)
        try:
            return await self._card.use_key(request)
        except PinNeededError:  # another program of this machine reset the card, or it had a PIN of its own
            self._verified = False
            if not kept:
                raise
            await self._verify_on_card(kept)
            reply = await self._card.use_key(request)
            self._verified = True
            return reply

    async def _verify_on_card(self, pin: bytes) -> None:
        try:
            await self._card.verify_pin(pin)
        except (PinWrongError, PinBlockedError):
            self._lending.lender.memory.learn_wrong(pin)  # changed meanwhile: never cost the card a second try
            raise

    @contextlib.contextmanager
    def _telling_if_it_waits(self, slot: Slot) -> Iterator[None]:
        """Cards that want to be touched say so with a light that a person may not look at."""
        timer = asyncio.get_running_loop().call_later(WAIT_NOTICE, self._watcher.notice, CardBusy(slot))
        try:
            yield
        finally:
            timer.cancel()

    # PIN

    async def _check_pin(self, request: PinRequest) -> PinReply:
        self._check_lent()
        code = self._lending.lender.code
        was_open = code.is_open
        reply = await self._while_lent(self._lending.desk.check(request)) if was_open else _BLOCKED
        if reply.outcome not in (PinOutcome.CANCELLED, PinOutcome.TIMED_OUT):
            self._verified = self._verified_for_next = reply.outcome is PinOutcome.VERIFIED
        if reply.outcome is PinOutcome.VERIFIED and request.typed is None:
            self._lending.consent.pin_given()
        self._watcher.notice(PinAsked(request.typed is not None, reply.outcome))
        if self._lending.desk.is_real_pin(request):
            # Nothing waits between here and the answer, so it leaves first: late, it would tell the remote.
            asyncio.get_running_loop().call_soon(self._watcher.notice, RealPinTyped())
        if was_open and not code.is_open:
            self._watcher.notice(CodeClosed())
        return reply


_BLOCKED = PinReply(PinOutcome.BLOCKED, 0)


def _describe(request: KeyRequest | PinRequest) -> str:
    if isinstance(request, PinRequest):
        return "PIN check"
    return f"{request.operation} with slot {Slot(request.slot):02X}"


class _UnwantedError(RefusedError):
    """The person was asked, and did not say yes."""

    def __init__(self, why: str) -> None:
        super().__init__(RefusalCode.NOT_ALLOWED, not_allowed(why).text)


def _code(error: Exception) -> str:
    """What repetitions of a refusal are counted by."""
    if isinstance(error, _UnwantedError):
        return BY_PERSON
    if isinstance(error, RefusedError):
        return error.code
    return RefusalCode.CARD if isinstance(error, SraError) else RefusalCode.INTERNAL
