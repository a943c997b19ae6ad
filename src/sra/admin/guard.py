"""Every request of a remote passes ``Guard.answer``: the one place where this machine says yes or no.

The remote is not trusted. What it asks is decided here from what *this* side knows: which slots were inserted, what
each key is for, what a signing block really signs, whether the PIN was checked. The PIN itself stays here.
"""

from __future__ import annotations

import asyncio
import collections
import hmac
import time
from collections.abc import Awaitable, Callable

from sra.admin import signing_blocks
from sra.admin.cards.base import Card
from sra.admin.events import KeyUsed, PinAsked, Refused, Watcher
from sra.admin.signing_blocks import Signed
from sra.errors import CardError, PinBlockedError, PinNeededError, PinWrongError, RefusalCode, RefusedError
from sra.identity import challenges
from sra.piv.keys import (
    MAX_PIN,
    KeyDescription,
    KeyReply,
    KeyRequest,
    Operation,
    PinOutcome,
    PinPolicy,
    PinReply,
    PinRequest,
    Slot,
    purpose,
)

TYPED_TRIES = 3
"""Wrong PINs that may be typed on the remote; they are counted here and never reach the card.

They are counted for as long as the PIN is known, not by connection: a remote that could have a new start by ejecting
the card or breaking the link could try them all."""
MAX_RATE = 50
"""Key uses and PIN questions within ``RATE_PERIOD``: more than any person's programs need."""
RATE_PERIOD = 1.0
"""Seconds."""

Confirm = Callable[[str], Awaitable[bool]]
"""Ask the person a yes-or-no question."""


class KnownPin:
    """The PIN that the person gave at connect, in memory only, and how often it may still be guessed at."""

    def __init__(self, pin: bytes) -> None:
        self._pin = bytearray(pin)
        self.tries = TYPED_TRIES

    def reveal(self) -> bytes:
        """The PIN, for the card; ``PinNeededError`` once it was forgotten."""
        if not self._pin:
            raise PinNeededError("The PIN is not known any more: connect again.")
        return bytes(self._pin)

    def check(self, typed: bytes) -> PinOutcome:
        """Whether ``typed`` is the PIN, in constant time; a wrong one costs a try, a right one gives them back."""
        if self.tries == 0:
            return PinOutcome.BLOCKED
        known = bytes(self._pin).ljust(MAX_PIN, b"\xff")
        if hmac.compare_digest(known, typed.ljust(MAX_PIN, b"\xff")) and self._pin:
            self.tries = TYPED_TRIES
            return PinOutcome.VERIFIED
        self.tries -= 1
        return PinOutcome.WRONG if self.tries else PinOutcome.BLOCKED

    def forget(self) -> None:
        """Overwrite it (Python may have made copies that can't be reached)."""
        self._pin[:] = bytes(len(self._pin))
        del self._pin[:]


class Guard:
    """Decides what a remote gets of the inserted card."""

    def __init__(
        self,
        card: Card,
        inserted: tuple[KeyDescription, ...],
        pin: KnownPin,
        *,
        confirm: Confirm,
        watcher: Watcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._card = card
        self._keys = {key.slot: key for key in inserted}
        self._pin = pin
        self._confirm = confirm
        self._watcher = watcher
        self._clock = clock
        self._verified = False
        self._verified_for_next = False
        self._recent: collections.deque[float] = collections.deque()
        self._flood_told = False
        self._one_at_a_time = asyncio.Lock()

    async def answer(self, request: KeyRequest | PinRequest) -> KeyReply | PinReply:
        """Do what the remote asks, or raise ``RefusedError`` or ``CardError``."""
        self._check_rate(_describe(request))
        try:
            if isinstance(request, PinRequest):
                return await self._check_pin(request)
            return await self._use_key(request, self._review(request))
        except (RefusedError, CardError) as error:
            self._watcher.notice(Refused(_describe(request), str(error)))
            raise

    def _check_rate(self, what: str) -> None:
        """Refuse what comes too fast; only the first of a flood is an event, or a remote could fill the log with it."""
        now = self._clock()
        while self._recent and self._recent[0] <= now - RATE_PERIOD:
            self._recent.popleft()
        if len(self._recent) < MAX_RATE:
            self._recent.append(now)
            self._flood_told = False
            return
        error = RefusedError(RefusalCode.NOT_ALLOWED, "The remote asks too often.")
        if not self._flood_told:
            self._flood_told = True
            self._watcher.notice(Refused(what, error.text))
        raise error

    def _review(self, request: KeyRequest) -> Signed:
        """What the request would sign; ``RefusedError`` if it may not be done."""
        key = self._keys.get(request.slot)
        if key is None:
            raise _not_allowed("that key was not inserted")
        if request.algorithm is not key.algorithm:
            raise _not_allowed("the key has another algorithm")
        if request.operation is not purpose(key.slot, key.algorithm):
            raise _not_allowed(f"a key of slot {key.slot:02X} is not for that")
        if challenges.carries_tag(request):
            raise _not_allowed("it would pass for a proof of who you are")
        signed = _read_input(request)
        if not self._take_verified(key):
            raise RefusedError(RefusalCode.PIN_NEEDED, "The PIN has to be checked first.")
        return signed

    def _take_verified(self, key: KeyDescription) -> bool:
        """The PIN policy, once more on this side: a remote that skips the question gets nothing."""
        if key.pin_policy is PinPolicy.NEVER:
            return True
        if key.pin_policy is PinPolicy.ALWAYS:
            fresh, self._verified_for_next = self._verified_for_next, False
            return fresh
        return self._verified

    async def _use_key(self, request: KeyRequest, signed: Signed) -> KeyReply:
        key = self._keys[request.slot]
        begun = self._clock()
        async with self._one_at_a_time:
            if key.pin_policy is PinPolicy.ALWAYS:
                await self._verify_on_card()
            reply = await self._use_after_pin(request)
        took = (self._clock() - begun) * 1000
        self._watcher.notice(KeyUsed(request.slot, request.operation, signed.hash_name, signed.digest, took))
        return reply

    async def _use_after_pin(self, request: KeyRequest) -> KeyReply:
        try:
            return await self._card.use_key(request)
        except PinNeededError:  # another program of this machine reset the card, or it had a PIN of its own
            await self._verify_on_card()
            return await self._card.use_key(request)

    async def _verify_on_card(self) -> None:
        try:
            await self._card.verify_pin(self._pin.reveal())
        except (PinWrongError, PinBlockedError):
            self._pin.forget()  # it was changed meanwhile: never cost the card a second try
            raise

    async def _check_pin(self, request: PinRequest) -> PinReply:
        outcome = await self._on_pad() if request.typed is None else self._pin.check(request.typed)
        if outcome is not PinOutcome.CANCELLED:
            self._verified = self._verified_for_next = outcome is PinOutcome.VERIFIED
        self._watcher.notice(PinAsked(request.typed is not None, outcome))
        return PinReply(outcome, self._pin.tries)

    async def _on_pad(self) -> PinOutcome:
        agreed = await self._confirm("The remote asks for your PIN, to use your card. Let it?")
        return PinOutcome.VERIFIED if agreed else PinOutcome.CANCELLED


def _read_input(request: KeyRequest) -> Signed:
    """What the input says: what is signed, or nothing that can be told."""
    size = request.algorithm.size
    if request.operation is Operation.DERIVE:
        return _sized(request, 1 + 2 * size)
    if request.operation is Operation.DECRYPT:
        return _sized(request, size)
    signed = _read_rsa(request, size) if request.algorithm.is_rsa else _read_digest(request, size)
    if signed is None:
        raise _not_allowed("what is to be signed is no hash in a known form")
    return signed


def _read_rsa(request: KeyRequest, size: int) -> Signed | None:
    _sized(request, size)
    return signing_blocks.read_rsa(request.input)


def _read_digest(request: KeyRequest, size: int) -> Signed | None:
    return signing_blocks.read_ec(request.input) if len(request.input) <= size else None


def _sized(request: KeyRequest, size: int) -> Signed:
    if len(request.input) != size:
        raise _not_allowed("its input has a wrong length")
    return Signed("", b"")


def _not_allowed(why: str) -> RefusedError:
    return RefusedError(RefusalCode.NOT_ALLOWED, f"The admin's guard refused: {why}.")


def _describe(request: KeyRequest | PinRequest) -> str:
    if isinstance(request, PinRequest):
        return "PIN check"
    return f"{request.operation} with slot {Slot(request.slot):02X}"
