"""Command chaining and GET RESPONSE (ISO 7816-4 sections 5.1.1.1 and 7.6.1) as layers, each round the next. No I/O.

A card wraps its application::

    ResponseCutter(CommandJoiner(application, instructions))

and a program that talks to a card wraps the way to it::

    ResponseJoiner(CommandSplitter(DirectSender(transmit)))

Neither the application nor the sender knows of the other pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from sra.piv.apdu import (
    MAX_EXTENDED_DATA,
    MAX_EXTENDED_RESPONSE,
    MAX_SHORT_DATA,
    MAX_SHORT_RESPONSE,
    ApduError,
    Command,
    Instruction,
    Response,
    Status,
    StatusError,
    parse_response,
)

MORE_FOLLOWS = 0x10
"""The bit of the class byte that says: this command goes on in the next one."""

_STATUS_CLASS = 0xFF00


class Processor(Protocol):
    """Anything on a card's side that answers commands."""

    async def process(self, command: Command) -> Response:
        """The answer to ``command``; raise ``StatusError`` where it is only a status word."""


class Sender(Protocol):
    """Anything that gets commands to a card."""

    def send(self, command: Command) -> Response:
        """What the card answered; raise ``ApduError`` if that was no response."""


class CommandJoiner:
    """Joins the parts of chained commands; only ``instructions`` may come in parts."""

    def __init__(self, inner: Processor, instructions: frozenset[Instruction]) -> None:
        self._inner = inner
        self._instructions = instructions
        self._begun: Command | None = None

    async def process(self, command: Command) -> Response:
        """The inner answer when the last part is there, 9000 before; 6884 for what may not come in parts."""
        joined = replace(command, data=self._earlier_parts(command) + command.data)
        if len(joined.data) > MAX_EXTENDED_DATA:  # no more than a single command could have brought
            raise StatusError(Status.WRONG_LENGTH)
        if not command.cla & MORE_FOLLOWS:
            return await self._inner.process(joined)
        if command.ins not in self._instructions:
            raise StatusError(Status.CHAINING_NOT_SUPPORTED)
        self._begun = joined
        return Response(b"", Status.OK)

    def _earlier_parts(self, command: Command) -> bytes:
        """What this command began with. A chain that something else interrupts is dropped."""
        begun, self._begun = self._begun, None
        if begun is None or (begun.ins, begun.p1, begun.p2) != (command.ins, command.p1, command.p2):
            return b""
        return begun.data


class ResponseCutter:
    """Hands out no more than was asked for, and the rest to GET RESPONSE until another command comes."""

    def __init__(self, inner: Processor) -> None:
        self._inner = inner
        self._rest: Response | None = None

    async def process(self, command: Command) -> Response:
        """The first or next part, with 61xx while there is more; 6985 for GET RESPONSE with nothing left."""
        rest, self._rest = self._rest, None
        if command.ins != Instruction.GET_RESPONSE:
            rest = await self._inner.process(command)
        if rest is None:
            raise StatusError(Status.CONDITIONS_NOT_SATISFIED)
        most = command.expected or MAX_SHORT_RESPONSE
        left = len(rest.data) - most
        if left <= 0:
            return rest
        self._rest = replace(rest, data=rest.data[most:])
        return Response(rest.data[:most], Status.MORE_DATA | (left if left < MAX_SHORT_RESPONSE else 0))


class DirectSender:
    """Sends each command as it is through ``transmit`` (command bytes in, response bytes out)."""

    def __init__(self, transmit: Callable[[bytes], bytes]) -> None:
        self._transmit = transmit

    def send(self, command: Command) -> Response:
        """The response to this one command."""
        return parse_response(self._transmit(command.encode()))


class CommandSplitter:
    """Sends what a short command can't carry as a chain of short ones."""

    def __init__(self, inner: Sender) -> None:
        self._inner = inner

    def send(self, command: Command) -> Response:
        """The answer to the last part, or to the first part that the card refused."""
        rest = command.data
        while len(rest) > MAX_SHORT_DATA:
            part = replace(command, cla=command.cla | MORE_FOLLOWS, data=rest[:MAX_SHORT_DATA], expected=0)
            response = self._inner.send(part)
            if response.status != Status.OK:
                return response
            rest = rest[MAX_SHORT_DATA:]
        return self._inner.send(replace(command, data=rest))


class ResponseJoiner:
    """Fetches the rest of an answer with GET RESPONSE, ``most`` bytes in all."""

    def __init__(self, inner: Sender, most: int = MAX_EXTENDED_RESPONSE) -> None:
        self._inner = inner
        self._most = most

    def send(self, command: Command) -> Response:
        """The whole answer; raise ``ApduError`` if the card never comes to an end."""
        response = self._inner.send(command)
        data = response.data
        while response.status & _STATUS_CLASS == Status.MORE_DATA:
            # For as much as 61xx announces; 00 stands for 256 or more.
            expected = response.status & 0xFF or MAX_SHORT_RESPONSE
            response = self._inner.send(Command(0x00, Instruction.GET_RESPONSE, 0x00, 0x00, b"", expected))
            data += response.data
            # A card that gives nothing, or no end, would be asked for ever.
            if not response.data or len(data) > self._most:
                raise ApduError("the card's answer does not end")
        return replace(response, data=data)
