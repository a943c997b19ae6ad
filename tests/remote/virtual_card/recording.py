"""The world round a virtual card, for tests: keys and a PIN pad that note what reached them, and a clock to set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sra.piv import objects
from sra.piv.keys import (
    Algorithm,
    KeyDescription,
    KeyReply,
    KeyRequest,
    PinOutcome,
    PinPolicy,
    PinReply,
    PinRequest,
    Slot,
)
from sra.piv.objects import CERTIFICATES, CardContents, KeyHistory, build_certificate
from sra.remote.virtual_card.applet import Applet

PIN_IDLE = 60.0
GUID = bytes(range(16, 32))
SELECT = bytes.fromhex("00A404000BA000000308000010000100")
VERIFY = bytes.fromhex("0020008008") + b"123456\xff\xff"
POLICIES = {Slot.SIGNATURE: PinPolicy.ALWAYS, Slot.CARD_AUTHENTICATION: PinPolicy.NEVER}


@dataclass
class RecordingKeys:
    """Answers every key use with ``output``, or fails with ``error``."""

    output: bytes = b""
    error: Exception | None = None
    asked: list[KeyRequest] = field(default_factory=list)

    async def use_key(self, request: KeyRequest) -> KeyReply:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return KeyReply(output=self.output or bytes(request.algorithm.size))


@dataclass
class RecordingPinCheck:
    """Answers every PIN question with ``reply``, or fails with ``error``."""

    reply: PinReply = field(default_factory=lambda: PinReply(outcome=PinOutcome.VERIFIED, attempts_remaining=3))
    error: Exception | None = None
    asked: list[PinRequest] = field(default_factory=list)

    async def check_pin(self, request: PinRequest) -> PinReply:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return self.reply


@dataclass
class Clock:
    """Monotonic seconds, as set."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """An applet and everything round it."""

    applet: Applet
    keys: RecordingKeys
    pins: RecordingPinCheck
    clock: Clock

    def transmit(self, apdu: bytes | str) -> tuple[bytes, int]:
        """Data and status word of the answer."""
        answer = asyncio.run(self.applet.transmit(bytes.fromhex(apdu) if isinstance(apdu, str) else apdu))
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    def status(self, apdu: bytes | str) -> int:
        return self.transmit(apdu)[1]

    @property
    def asked(self) -> int:
        """How often the network was needed."""
        return len(self.keys.asked) + len(self.pins.asked)


def describe(slot: Slot, algorithm: Algorithm) -> KeyDescription:
    return KeyDescription(slot=slot, algorithm=algorithm, pin_policy=POLICIES.get(slot, PinPolicy.ONCE))


def contents_of(keys: Iterable[KeyDescription], certificate: Callable[[Slot], bytes]) -> CardContents:
    """The contents of a card with these keys."""
    described = tuple(keys)
    return CardContents(
        objects={
            objects.CHUID: objects.build_chuid(GUID),
            objects.CARD_CAPABILITY_CONTAINER: objects.build_card_capability_container(GUID),
            objects.DISCOVERY: objects.build_discovery(),
            objects.KEY_HISTORY: objects.build_key_history(KeyHistory(sum(key.slot.is_retired for key in described))),
        }
        | {CERTIFICATES[key.slot]: build_certificate(certificate(key.slot)) for key in described},
        keys=described,
    )


def certificate_of(slot: Slot) -> bytes:
    """Something to stand for a certificate, longer than a short response."""
    return slot.name.encode() * 100


def make_world(*keys: tuple[Slot, Algorithm], pin_pad: bool = False, selected: bool = True) -> World:
    """A card with these keys and a PIN that is 123456, PIV selected."""
    clock, private_keys, pins = Clock(), RecordingKeys(), RecordingPinCheck()
    contents = contents_of((describe(slot, algorithm) for slot, algorithm in keys), certificate_of)
    applet = Applet(
        contents,
        private_keys,
        pins,
        random_bytes=lambda size: bytes(range(size)),
        clock=clock,
        pin_idle=PIN_IDLE,
        pin_pad=pin_pad,
    )
    world = World(applet, private_keys, pins, clock)
    if selected:
        world.transmit(SELECT)
    return world
