"""Talking to a PIV card, one command after another, over any way to send one. No I/O of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sra.errors import (
    CardError,
    KeyMissingError,
    NotPivError,
    PinBlockedError,
    PinNeededError,
    PinWrongError,
    PukBlockedError,
    PukWrongError,
    UsageError,
)
from sra.piv import tlv
from sra.piv.apdu import MAX_SHORT_RESPONSE, Command, Instruction, Response, Status, StatusError, parse_response
from sra.piv.chaining import CommandSplitter, DirectSender, ResponseJoiner, Sender
from sra.piv.keys import KeyRequest, Operation, Slot
from sra.piv.objects import DISCOVERY, MAX_OBJECT, PIV_AID

_SELECTED_AID = PIV_AID[:9]
"""Without the version number, so that cards of every edition of the standard answer."""

_APPLICATION_PIN = 0x80
_PIN_SIZE = 8
_PADDING = b"\xff"

_GET_METADATA = 0xF7
"""A YubiKey's own instruction (since 5.3): how a key was made and when it may be used."""

_PAD_PROBLEMS = {
    Status.TIMED_OUT: "No PIN was typed on the reader in time.",
    Status.CANCELLED: "The PIN was refused on the reader.",
    0x6403: "What was typed on the reader can be no PIN.",
}
"""Status words of the reader itself (PC/SC part 10, section 2.5.2)."""

_NO_NEW_PIN = frozenset({Status.WRONG_DATA, Status.CONDITIONS_NOT_SATISFIED})

_TAG_LIST = 0x5C
_OBJECT = 0x53
_DYNAMIC = 0x7C
_RESPONSE = 0x82
_CHALLENGE = 0x81
_EXPONENTIATION = 0x85
"""Tags of GENERAL AUTHENTICATE (SP 800-73-4 part 2, table 7)."""

_MOST = MAX_OBJECT + 8
"""An object and the template around it."""

_STATUS_CLASS = 0xFF00
_WRONG_LE = 0x6C00
_TRIES_CLASS = 0xFFF0

_ABSENT = frozenset({Status.NOT_FOUND, Status.REFERENCE_NOT_FOUND})
_NO_SUCH_KEY = frozenset({Status.WRONG_PARAMETERS, Status.REFERENCE_NOT_FOUND, Status.FUNCTION_NOT_SUPPORTED})

_OTHER_APPLICATION = frozenset(
    {
        Status.INSTRUCTION_NOT_SUPPORTED,
        Status.CLASS_NOT_SUPPORTED,
        Status.CONDITIONS_NOT_SATISFIED,
        Status.WRONG_PARAMETERS,
        Status.REFERENCE_NOT_FOUND,
        0x6B00,  # wrong parameters, as ISO 7816-4 has it
    }
)
"""What a card says when another program has selected another of its applications in the meantime."""


_Wrong = Callable[[int], CardError]
_Blocked = Callable[[], CardError]


class LengthCorrector:
    """Asks again with the length that the card wants, where it says 6Cxx (ISO 7816-3, section 12.2.2)."""

    def __init__(self, inner: Sender) -> None:
        self._inner = inner

    def send(self, command: Command) -> Response:
        """The answer, at the second attempt if need be."""
        response = self._inner.send(command)
        if response.status & _STATUS_CLASS != _WRONG_LE:
            return response
        return self._inner.send(replace(command, expected=response.status & 0xFF or MAX_SHORT_RESPONSE))


class T0Sender:
    """Leaves Le away after data, which T=0 can't carry: the card says 61xx instead (ISO 7816-3, section 12.2.1)."""

    def __init__(self, inner: Sender) -> None:
        self._inner = inner

    def send(self, command: Command) -> Response:
        """The answer to the command as T=0 carries it."""
        return self._inner.send(replace(command, expected=0) if command.data else command)


def way_to_card(transmit: Callable[[bytes], bytes], is_t0: bool) -> Sender:
    """All the layers between a whole command and short APDUs of either protocol."""
    direct: Sender = DirectSender(transmit)
    return ResponseJoiner(CommandSplitter(LengthCorrector(T0Sender(direct) if is_t0 else direct)), _MOST)


class PcscPivApplication:
    """The PIV application of a card, which is the selected one as far as no other program interferes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def select(self) -> None:
        """Select it; raise ``NotPivError`` if the card has none."""
        response = self._sender.send(Command(0x00, Instruction.SELECT, 0x04, 0x00, _SELECTED_AID, MAX_SHORT_RESPONSE))
        if response.status != Status.OK:
            raise NotPivError("The card is not a PIV card; put your PIV card in, or choose another reader.")

    def read(self, tag: int) -> bytes | None:
        """What is inside the object's template, ``None`` if it is absent or empty (part 2, section 3.1.2)."""
        wanted = tlv.encode(_TAG_LIST, tlv.encode(tag)[:-1])
        response = self._sender.send(Command(0x00, Instruction.GET_DATA, 0x3F, 0xFF, wanted, MAX_SHORT_RESPONSE))
        if response.status in _ABSENT:
            return None
        return tlv.unwrap(tag if tag == DISCOVERY else _OBJECT, _data(response)) or None

    def attempts(self) -> int | None:
        """PIN tries left, ``None`` while the PIN is verified: the card doesn't tell then (part 2, section 3.2.1)."""
        response = self._send_selected(Command(0x00, Instruction.VERIFY, 0x00, _APPLICATION_PIN))
        if response.status == Status.OK:
            return None
        return _tries(response)

    def verify(self, pin: bytes) -> None:
        """Verify the PIN; raise ``PinWrongError`` or ``PinBlockedError``.

        PIV is selected first, always: another application of the card would count the PIN against one of its own.
        """
        self.select()
        command = Command(0x00, Instruction.VERIFY, 0x00, _APPLICATION_PIN, _padded(pin))
        _check_code(self._sender.send(command), PinWrongError, PinBlockedError)

    def verify_on_pad(self, ask: Callable[[], bytes]) -> None:
        """Have the reader ask for the PIN (``ask`` returns the response APDU); raise ``PinNeededError`` without one."""
        self.select()
        response = parse_response(ask())
        if response.status in _PAD_PROBLEMS:
            raise PinNeededError(_PAD_PROBLEMS[response.status])
        _check_code(response, PinWrongError, PinBlockedError)

    def change_pin(self, old: bytes, new: bytes) -> None:
        """CHANGE REFERENCE DATA (part 2, section 3.2.2); raise what ``verify`` raises, or ``UsageError``."""
        self._set_pin(Instruction.CHANGE_REFERENCE_DATA, old, new, PinWrongError, PinBlockedError)

    def unblock_pin(self, puk: bytes, new: bytes) -> None:
        """RESET RETRY COUNTER (part 2, section 3.2.3); raise ``PukWrongError``, ``PukBlockedError``, ``UsageError``."""
        self._set_pin(Instruction.RESET_RETRY_COUNTER, puk, new, PukWrongError, PukBlockedError)

    def forget_pin(self) -> bool:
        """Reset the PIN's verified state (part 2, section 3.2.1, P1 FF); whether the card knows that command."""
        response = self._send_selected(Command(0x00, Instruction.VERIFY, 0xFF, _APPLICATION_PIN))
        return response.status == Status.OK

    def metadata(self, slot: Slot) -> Response:
        """What the card says to a YubiKey's GET METADATA; most cards say that they don't know it."""
        return self._sender.send(Command(0x00, _GET_METADATA, 0x00, slot, b"", MAX_SHORT_RESPONSE))

    def use(self, request: KeyRequest) -> bytes:
        """The answer of GENERAL AUTHENTICATE (part 2, section 3.2.4); raise ``PinNeededError`` or ``CardError``."""
        # ECDSA takes digests as long as the curve: zeros before one are the same number.
        derives, size = request.operation is Operation.DERIVE, request.algorithm.size
        data = request.input if derives else request.input.rjust(size, b"\0")
        asked = tlv.encode(_EXPONENTIATION if derives else _CHALLENGE, data)
        template = tlv.encode(_DYNAMIC, tlv.encode(_RESPONSE) + asked)
        ins = Instruction.GENERAL_AUTHENTICATE
        response = self._send_selected(
            Command(0x00, ins, request.algorithm, request.slot, template, MAX_SHORT_RESPONSE)
        )
        if response.status == Status.SECURITY_NOT_SATISFIED:
            raise PinNeededError(f"The card wants its PIN before it uses the key {request.slot:02X}.")
        if response.status in _NO_SUCH_KEY:
            raise KeyMissingError(f"The card has no {request.algorithm.name} key {request.slot:02X}.")
        result = tlv.fields(tlv.unwrap(_DYNAMIC, _data(response))).get(_RESPONSE)
        if not result:
            raise tlv.TlvError("it holds no result")
        return result

    def _set_pin(self, ins: Instruction, code: bytes, new: bytes, wrong: _Wrong, blocked: _Blocked) -> None:
        self.select()
        response = self._sender.send(Command(0x00, ins, 0x00, _APPLICATION_PIN, _padded(code) + _padded(new)))
        if response.status in _NO_NEW_PIN:
            raise UsageError("The card does not take that as its new PIN; choose 6 to 8 digits, not all the same.")
        _check_code(response, wrong, blocked)

    def _send_selected(self, command: Command) -> Response:
        """The answer; where it seems to be another application's, the one after PIV was selected again.

        Not selected before every command: on some cards that would end the PIN state that 9C needs.
        """
        response = self._sender.send(command)
        if response.status not in _OTHER_APPLICATION:
            return response
        self.select()
        return self._sender.send(command)


def _padded(code: bytes) -> bytes:
    return code.ljust(_PIN_SIZE, _PADDING)


def _check_code(response: Response, wrong: _Wrong, blocked: _Blocked) -> None:
    """Raise the error that a PIN or PUK met with, if it did."""
    if response.status == Status.OK:
        return
    tries = _tries(response)
    raise wrong(tries) if tries else blocked()


def _data(response: Response) -> bytes:
    if response.status != Status.OK:
        raise StatusError(response.status)
    return response.data


def _tries(response: Response) -> int:
    if response.status == Status.PIN_BLOCKED:
        return 0
    if response.status & _TRIES_CLASS != Status.TRIES_REMAINING:
        raise CardError(f"The card did not check the PIN (status {response.status:04X}); put it in again and retry.")
    return response.status & 0x0F
