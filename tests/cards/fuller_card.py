"""A card that does what real ones do beyond the virtual card.

Its PIN is changed and unblocked, it tells of its keys as a YubiKey does, it wants to be touched, or it lacks a command.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sra.cards.base import Card
from sra.errors import PinBlockedError, PinWrongError, PukBlockedError, PukWrongError, UsageError
from sra.piv.apdu import Command, Instruction, Status, parse_command, tries_remaining
from sra.piv.keys import Slot
from sra.remote.virtual_card.applet import Applet

GET_METADATA = 0xF7
CODE_SIZE = 8


@dataclass
class FullerCard:
    """``VirtualCard`` round an applet; ``metadata`` is what GET METADATA answers for a slot, if it is known at all."""

    applet: Applet
    card: Card
    metadata: dict[Slot, bytes] = field(default_factory=dict)
    forgets_pin: bool = True
    touched: asyncio.Event | None = None
    touch_limit: float = 10.0
    asked: list[Command] = field(default_factory=list)

    async def transmit(self, apdu: bytes) -> bytes:
        command = parse_command(apdu)
        self.asked.append(command)
        if command.ins in {Instruction.CHANGE_REFERENCE_DATA, Instruction.RESET_RETRY_COUNTER}:
            return (await self._set_pin(command)).to_bytes(2, "big")
        if command.ins == GET_METADATA and self.metadata:
            found = self.metadata.get(Slot(command.p2))
            return found + b"\x90\x00" if found else b"\x6a\x88"
        if command.ins == Instruction.VERIFY and command.p1 and not self.forgets_pin:
            return b"\x6a\x86"
        if command.ins == Instruction.GENERAL_AUTHENTICATE and self.touched and not await self._is_touched():
            return b"\x69\x82"
        return await self.applet.transmit(apdu)

    def reset(self) -> None:
        self.applet.reset()

    async def _is_touched(self) -> bool:
        assert self.touched
        try:
            await asyncio.wait_for(self.touched.wait(), self.touch_limit)
        except TimeoutError:
            return False
        return True

    async def _set_pin(self, command: Command) -> int:
        assert (command.p1, command.p2, len(command.data)) == (0x00, 0x80, 2 * CODE_SIZE)
        code, new = (half.rstrip(b"\xff") for half in (command.data[:CODE_SIZE], command.data[CODE_SIZE:]))
        change = self.card.change_pin if command.ins == Instruction.CHANGE_REFERENCE_DATA else self.card.unblock_pin
        if new == b"000000":
            return Status.WRONG_DATA  # too easy for this card
        try:
            await change(code, new)
        except (PinWrongError, PukWrongError) as error:
            return tries_remaining(error.attempts_remaining)
        except (PinBlockedError, PukBlockedError):
            return Status.PIN_BLOCKED
        except UsageError:
            return Status.WRONG_DATA
        return Status.OK
