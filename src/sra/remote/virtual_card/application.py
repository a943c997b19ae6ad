"""The PIV card application, without its layers: SELECT, GET DATA, and who handles the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sra.piv import tlv
from sra.piv.apdu import Command, Instruction, Response, Status, StatusError
from sra.piv.objects import DISCOVERY, PIV_AID
from sra.remote.virtual_card.key_use import KeyUse
from sra.remote.virtual_card.pin_commands import PinCommands

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
"""What would change the card. The last two want the management key first, which nobody can authenticate with here."""


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
