"""What the virtual card remembers of the PIN, and the commands about it.

VERIFY (SP 800-73-4 part 2, section 3.2.1) and the PIN pad's way of saying it (PC/SC part 10, section 2.6).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sra.piv.apdu import Command, Response, Status, StatusError, tries_remaining
from sra.piv.keys import PinCheck, PinOutcome, PinPolicy, PinReply, PinRequest

APPLICATION_PIN = 0x80
PIN_SIZE = 8
PADDING = 0xFF

VERIFY_PIN_DIRECT = (0xC2, 0x01, 0x06)
"""Instruction and parameters of the pseudo-APDU (class FF) that carries a PIN_VERIFY_STRUCTURE."""

_VERIFY = 0x00
_FORGET = 0xFF
_LOWEST_PIN_BYTE = 0x20
"""Programs that pad with zeros exist: such a PIN would be wrong at the card and cost a try."""

_STRUCTURE_HEADER = 19
_DATA_LENGTH = slice(15, 19)
_VERIFY_HEADER = bytes([0x00, 0x20, _VERIFY, APPLICATION_PIN])

_STATUS = {
    PinOutcome.VERIFIED: Status.OK,
    PinOutcome.BLOCKED: Status.PIN_BLOCKED,
    PinOutcome.CANCELLED: Status.CANCELLED,
    PinOutcome.TIMED_OUT: Status.TIMED_OUT,
}

ATTEMPTS_AT_FIRST = 3
"""Tries told to a program that asks before any PIN was checked; the true number comes with the first reply."""

_MOST_ATTEMPTS = 15
"""What fits into 63Cx."""


class PinState:
    """Whether the PIN is verified, for how long, and how many tries are left.

    All local programs share one card, so a verified PIN is forgotten ``idle`` seconds (of ``clock``) after it was last
    needed, and a key that wants the PIN each time takes one that no key was used with since; with ``every_use`` all
    keys that want a PIN do.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        idle: float,
        attempts_remaining: int = ATTEMPTS_AT_FIRST,
        *,
        every_use: bool = False,
    ) -> None:
        self.attempts_remaining = attempts_remaining
        self._every_use = every_use
        self._clock = clock
        self._idle = idle
        self._verified_until = -math.inf
        self._is_fresh = False

    @property
    def is_verified(self) -> bool:
        """Whether a key that wants the PIN once may be used now."""
        return self._clock() < self._verified_until

    def remember(self, reply: PinReply) -> None:
        """Take in how a PIN question ended."""
        verified = reply.outcome is PinOutcome.VERIFIED
        self.attempts_remaining = min(max(reply.attempts_remaining, 0), _MOST_ATTEMPTS)
        self._is_fresh = verified
        self._verified_until = self._clock() + self._idle if verified else -math.inf

    def forget(self) -> None:
        """Be as if the PIN had not been verified."""
        self._is_fresh = False
        self._verified_until = -math.inf

    def use_for(self, policy: PinPolicy) -> None:
        """Note the use of a key; raise ``StatusError`` 6982 if the PIN has to be verified before."""
        fresh, self._is_fresh = self._is_fresh, False
        allowed = {
            PinPolicy.NEVER: True,
            PinPolicy.ONCE: self.is_verified and (fresh or not self._every_use),
            PinPolicy.ALWAYS: self.is_verified and fresh,
        }
        if not allowed[policy]:
            raise StatusError(Status.SECURITY_NOT_SATISFIED)
        if policy is not PinPolicy.NEVER:
            self._verified_until = self._clock() + self._idle


class PinCommands:
    """The commands about the PIN. Only a well-formed PIN, or a question for the pad, gets any further than here."""

    def __init__(self, state: PinState, pin_check: PinCheck) -> None:
        self._state = state
        self._pin_check = pin_check

    async def verify(self, command: Command) -> Response:
        """Have a typed PIN checked, tell the state (no data), or forget it (P1 = FF)."""
        if command.p1 not in {_VERIFY, _FORGET}:
            raise StatusError(Status.WRONG_PARAMETERS)
        if command.p2 != APPLICATION_PIN:
            raise StatusError(Status.REFERENCE_NOT_FOUND)
        if command.p1 == _FORGET:
            if command.data:
                raise StatusError(Status.WRONG_LENGTH)
            self._state.forget()
        elif command.data:
            return await self._ask(PinRequest(typed_pin(command.data)))
        elif not self._state.is_verified:
            return Response(b"", tries_remaining(self._state.attempts_remaining))
        return Response(b"", Status.OK)

    async def ask_on_pad(self, command: Command) -> Response:
        """Have the PIN asked where the card is; raise ``StatusError`` 6A80 if that isn't what the structure says."""
        check_verify_structure(command.data)
        return await self._ask(PinRequest(typed=None))

    async def _ask(self, request: PinRequest) -> Response:
        self._state.forget()
        reply = await self._pin_check.check_pin(request)
        self._state.remember(reply)
        return Response(b"", _STATUS.get(reply.outcome) or tries_remaining(self._state.attempts_remaining))


def typed_pin(data: bytes) -> bytes:
    """The PIN (1 to 8 bytes) in the data field of VERIFY; raise ``StatusError`` 6700 or 6A80."""
    if len(data) != PIN_SIZE:
        raise StatusError(Status.WRONG_LENGTH)
    pin = data.rstrip(bytes([PADDING]))
    if not pin or min(pin) < _LOWEST_PIN_BYTE or PADDING in pin:
        raise StatusError(Status.WRONG_DATA)
    return pin


def check_verify_structure(structure: bytes) -> None:
    """Raise ``StatusError`` 6A80 unless this PIN_VERIFY_STRUCTURE is about verifying the application PIN.

    The command's length in it is in the byte order of the machine, so both are taken.
    """
    command = structure[_STRUCTURE_HEADER:]
    length = structure[_DATA_LENGTH]
    stated = {int.from_bytes(length, "little"), int.from_bytes(length, "big")}
    if not command.startswith(_VERIFY_HEADER) or len(command) not in stated:
        raise StatusError(Status.WRONG_DATA)
