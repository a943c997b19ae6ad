"""The virtual card: a read-only PIV card (SP 800-73-4) whose keys are somewhere else. No I/O.

Command bytes go in and response bytes come out. Only a key use and a PIN question leave it, through ``PrivateKeys`` and
``PinCheck``; everything else is answered from memory.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from sra.errors import SraError
from sra.piv import tlv
from sra.piv.apdu import Command, Instruction, Response, Status, StatusError, parse_command
from sra.piv.chaining import CommandJoiner, Processor, ResponseCutter
from sra.piv.keys import PinCheck, PrivateKeys
from sra.piv.objects import DISCOVERY, PIV_AID, CardContents
from sra.remote.virtual_card.key_use import KeyUse, status_of
from sra.remote.virtual_card.pin_commands import VERIFY_PIN_DIRECT, PinCommands, PinState

_log = logging.getLogger("sra.card")

_CHAINABLE = frozenset({Instruction.GENERAL_AUTHENTICATE})
"""The standard chains PUT DATA too, which is refused at its first part here."""

_PLAIN_CLASSES = (0x00, 0x10)
_READER_CLASS = 0xFF
_FURTHER_CLASSES = 0x20
_SECURE_MESSAGING = 0x0C
_PIN_PAD_COMMAND = (_READER_CLASS, *VERIFY_PIN_DIRECT)

PROPERTIES = tlv.encode(
    0x61,
    tlv.encode(0x4F, PIV_AID[5:]) + tlv.encode(0x79, tlv.encode(0x4F, PIV_AID[:5])),
)
"""The application property template (SP 800-73-4 part 2, table 3): the AID without the RID, and the RID."""

_BY_NAME = 0x04
_NO_PROPERTIES = 0x0C
_RID_SIZE = 5
_ANY_OBJECT = (0x3F, 0xFF)
_TAG_LIST = 0x5C
_DATA = 0x53
_TAG_SIZES = (1, 2, 3)

_REFUSED: dict[int, Status] = {
    Instruction.CHANGE_REFERENCE_DATA: Status.FUNCTION_NOT_SUPPORTED,
    Instruction.RESET_RETRY_COUNTER: Status.FUNCTION_NOT_SUPPORTED,
    Instruction.PUT_DATA: Status.SECURITY_NOT_SATISFIED,
    Instruction.GENERATE_KEY_PAIR: Status.SECURITY_NOT_SATISFIED,
}
"""What would change the card. The last two want the management key first, which can't be authenticated with here."""


class Applet:
    """One inserted card.

    ``random_bytes(n)`` gives n random bytes, ``clock()`` monotonic seconds; ``pin_idle`` is after how many of them a
    verified PIN is forgotten, ``pin_every_use`` that it is after each use; ``pin_pad`` whether the reader offers one.
    One command at a time: ``transmit`` is called again when it has returned, or was cancelled and ``reset`` called.
    """

    def __init__(
        self,
        contents: CardContents,
        private_keys: PrivateKeys,
        pin_check: PinCheck,
        *,
        random_bytes: Callable[[int], bytes],
        clock: Callable[[], float],
        pin_idle: float,
        pin_pad: bool,
        pin_every_use: bool = False,
    ) -> None:
        self._contents = contents
        self._private_keys = private_keys
        self._pin_check = pin_check
        self._random_bytes = random_bytes
        self._pin_pad = pin_pad
        self._clock = clock
        self._pin_idle = pin_idle
        self._pin_every_use = pin_every_use
        self._pin = PinState(clock, pin_idle)
        self.reset()

    def reset(self) -> None:
        """Forget PIN, selection and what was said in part. An answer still under way belongs to the time before."""
        remaining = self._pin.attempts_remaining
        self._pin = PinState(self._clock, self._pin_idle, remaining, every_use=self._pin_every_use)
        pin_commands = PinCommands(self._pin, self._pin_check)
        keys = KeyUse(self._contents.keys, self._private_keys, self._pin, self._random_bytes)
        application = PivApplication(self._contents.objects, pin_commands, keys)
        layers = ResponseCutter(CommandJoiner(application, _CHAINABLE))
        self._processor = _ClassRouter(layers, pin_commands if self._pin_pad else None)

    async def transmit(self, apdu: bytes) -> bytes:
        """The response APDU to a command APDU, whatever that is; raises nothing."""
        try:
            response = await self._processor.process(parse_command(apdu))
        except (SraError, TimeoutError) as error:
            response = Response(b"", status_of(error))
        except Exception as error:  # noqa: BLE001 - its text might hold a PIN or a key block, so only its name is told
            _log.error("a command ended in %s; this is a defect of the virtual card", type(error).__name__)
            response = Response(b"", Status.UNKNOWN_ERROR)
        return response.encode()


class _ClassRouter:
    """The outermost layer: the class byte says which part a command is for (ISO 7816-4 section 5.1.1)."""

    def __init__(self, card: Processor, pin_pad: PinCommands | None) -> None:
        self._card = card
        self._pin_pad = pin_pad

    async def process(self, command: Command) -> Response:
        """The card's answer, or the PIN pad's; 6881, 6882 or 6E00 for classes that don't exist here."""
        if command.cla in _PLAIN_CLASSES:
            return await self._card.process(command)
        if self._pin_pad and (command.cla, command.ins, command.p1, command.p2) == _PIN_PAD_COMMAND:
            return await self._pin_pad.ask_on_pad(command)
        if command.cla >= _FURTHER_CLASSES:
            raise StatusError(Status.CLASS_NOT_SUPPORTED)
        is_secure = command.cla & _SECURE_MESSAGING
        raise StatusError(Status.SECURE_MESSAGING_NOT_SUPPORTED if is_secure else Status.CHANNEL_NOT_SUPPORTED)


class PivApplication:
    """Answers one whole command at a time, everything but PINs and key uses from memory."""

    def __init__(self, objects: dict[int, bytes], pin: PinCommands, keys: KeyUse) -> None:
        self._objects = objects
        self._is_selected = False
        self._handlers: dict[int, Callable[[Command], Awaitable[Response]]] = {
            Instruction.GET_DATA: self._get_data,
            Instruction.VERIFY: pin.verify,
            Instruction.GENERAL_AUTHENTICATE: keys.general_authenticate,
        }

    async def process(self, command: Command) -> Response:
        """The answer; raise ``StatusError`` 6D00 for what the application doesn't know, or before it is selected."""
        if command.ins == Instruction.SELECT:
            return self._select(command)
        if not self._is_selected:
            raise StatusError(Status.INSTRUCTION_NOT_SUPPORTED)
        handler = self._handlers.get(command.ins)
        if handler is None:
            raise StatusError(_REFUSED.get(command.ins, Status.INSTRUCTION_NOT_SUPPORTED))
        return await handler(command)

    def _select(self, command: Command) -> Response:
        """Select by the AID, or as much of it as names PIV. Whatever else is asked for, PIV stays selected."""
        if command.p1 != _BY_NAME or len(command.data) < _RID_SIZE or not PIV_AID.startswith(command.data):
            raise StatusError(Status.NOT_FOUND)
        self._is_selected = True
        wants_properties = command.p2 & _NO_PROPERTIES != _NO_PROPERTIES
        return Response(PROPERTIES if wants_properties else b"", Status.OK)

    async def _get_data(self, command: Command) -> Response:
        """A data object in its template (section 3.1.2); 6A82 for those that the card doesn't have."""
        if (command.p1, command.p2) != _ANY_OBJECT:
            raise StatusError(Status.WRONG_PARAMETERS)
        name = tlv.unwrap(_TAG_LIST, command.data)
        if len(name) not in _TAG_SIZES:
            raise StatusError(Status.WRONG_DATA)
        tag = int.from_bytes(name, "big")
        if tag not in self._objects:
            raise StatusError(Status.NOT_FOUND)
        return Response(tlv.encode(tag if tag == DISCOVERY else _DATA, self._objects[tag]), Status.OK)
