"""VERIFY (SP 800-73-4 part 2, section 3.2.1) and the PIN pad's way of saying it (PC/SC part 10, section 2.6)."""

from __future__ import annotations

from sra.piv.apdu import Command, Response, Status, StatusError, tries_remaining
from sra.piv.keys import PinCheck, PinOutcome, PinRequest
from sra.remote.virtual_card.pin_state import PinState

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
            return self._forget(command)
        return await self._ask(PinRequest(typed_pin(command.data))) if command.data else self._tell()

    async def ask_on_pad(self, command: Command) -> Response:
        """Have the PIN asked where the card is; raise ``StatusError`` 6A80 if that isn't what the structure says."""
        check_verify_structure(command.data)
        return await self._ask(PinRequest(typed=None))

    def _tell(self) -> Response:
        verified = self._state.is_verified
        return Response(b"", Status.OK if verified else tries_remaining(self._state.attempts_remaining))

    def _forget(self, command: Command) -> Response:
        if command.data:
            raise StatusError(Status.WRONG_LENGTH)
        self._state.forget()
        return Response(b"", Status.OK)

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
