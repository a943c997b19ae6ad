"""A guard before a card in memory, for tests."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sra.admin.events import Refused
from sra.admin.guard.guard import Guard
from sra.admin.guard.lending import GuardSettings, LendingState
from sra.errors import (
    RefusedError,
)
from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, PinOutcome, PinRequest, Slot, purpose
from tests.admin.watching import Person, Watching, lender
from tests.memory_card import PIN, MemoryCard
from tests.piv_blocks import signing_input

KEYS = {
    Slot.AUTHENTICATION: Algorithm.RSA_2048,
    Slot.SIGNATURE: Algorithm.P256,
    Slot.KEY_MANAGEMENT: Algorithm.RSA_2048,
    Slot.CARD_AUTHENTICATION: Algorithm.P256,
    Slot.RETIRED_1: Algorithm.P384,
}
TYPED, PAD = PinRequest(PIN), PinRequest(None)
WRONG = PinRequest(b"654321")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A guard before a card, and everything that can be seen of the two."""

    def __init__(
        self, keys: dict[Slot, Algorithm] | None = None, *, agrees: bool = True, terms: GuardSettings | None = None
    ) -> None:
        self.card = MemoryCard(KEYS if keys is None else keys)
        self.watching = Watching()
        self.person = Person(agrees=agrees)
        self.clock = Clock()
        self.lender = lender(
            self.card, watching=self.watching, person=self.person, terms=terms, clock=self.clock, known=True
        )
        self.lending = LendingState(self.lender, "remote.example.com", "ann")
        self.guard = self.new_guard()

    def new_guard(self) -> Guard:
        """What a new insertion in the same connection gets."""
        return Guard(self.lending, self.card.contents.keys)

    async def outcome(self, request: PinRequest) -> tuple[PinOutcome, int]:
        reply = await self.guard.answer(request)
        assert not isinstance(reply, KeyReply)
        return reply.outcome, reply.attempts_remaining

    async def refusal(self, request: KeyRequest) -> str:
        """Why the guard refuses; nothing may have reached the card."""
        uses = len(self.card.uses)
        with pytest.raises(RefusedError) as refused:
            await self.guard.answer(request)
        assert len(self.card.uses) == uses
        assert self.watching.events[-1] == Refused(
            f"{request.operation} with slot {request.slot:02X}", str(refused.value)
        )
        return f"{refused.value.code}: {refused.value.text}"


def request_for(slot: Slot, algorithm: Algorithm | None = None) -> KeyRequest:
    """An honest request for what the slot's key is for."""
    kind = KEYS[slot] if algorithm is None else algorithm
    operation = purpose(slot, kind)
    if operation is Operation.SIGN:
        return KeyRequest(slot, kind, operation, signing_input(kind, b"text"))
    if operation is Operation.DECRYPT:
        return KeyRequest(slot, kind, operation, b"\x00\x02" + bytes(kind.size - 2))
    point = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    return KeyRequest(slot, kind, operation, point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def changed(request: KeyRequest, **fields: object) -> KeyRequest:
    values = {name: getattr(request, name) for name in request.__struct_fields__}
    return KeyRequest(**(values | fields))
