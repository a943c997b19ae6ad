"""Command chaining and GET RESPONSE: the card's layers, the caller's layers, and both against each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.piv.apdu import ApduError, Command, Instruction, Response, Status, StatusError, parse_command
from sra.piv.chaining import CommandJoiner, CommandSplitter, DirectSender, Processor, ResponseCutter, ResponseJoiner

GENERAL_AUTHENTICATE = Instruction.GENERAL_AUTHENTICATE


class RecordingProcessor:
    """A card's innermost layer that answers everything with the same response."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.asked: list[Command] = []

    async def process(self, command: Command) -> Response:
        self.asked.append(command)
        return self.response


def process(processor: Processor, command: Command) -> Response:
    try:
        return asyncio.run(processor.process(command))
    except StatusError as error:
        return Response(b"", error.status)


def way_to(processor: Processor) -> Callable[[bytes], bytes]:
    return lambda apdu: process(processor, parse_command(apdu)).encode()


def part(data: bytes, *, last: bool = False, p2: int = 0x9A) -> Command:
    return Command(0x00 if last else 0x10, GENERAL_AUTHENTICATE, 0x07, p2, data)


def test_a_chained_command_arrives_whole() -> None:
    inner = RecordingProcessor(Response(b"", Status.OK))
    joiner = CommandJoiner(inner, frozenset({GENERAL_AUTHENTICATE}))
    assert process(joiner, part(b"one ")).status == Status.OK
    assert inner.asked == []
    process(joiner, part(b"two", last=True))
    assert [command.data for command in inner.asked] == [b"one two"]


def test_a_chain_that_another_command_interrupts_is_dropped() -> None:
    inner = RecordingProcessor(Response(b"", Status.OK))
    joiner = CommandJoiner(inner, frozenset({GENERAL_AUTHENTICATE}))
    process(joiner, part(b"one "))
    process(joiner, Command(0, Instruction.GET_DATA, 0x3F, 0xFF))
    process(joiner, part(b"two", last=True))
    assert [command.data for command in inner.asked] == [b"", b"two"]


def test_parts_for_another_key_are_not_joined() -> None:
    inner = RecordingProcessor(Response(b"", Status.OK))
    joiner = CommandJoiner(inner, frozenset({GENERAL_AUTHENTICATE}))
    process(joiner, part(b"one "))
    process(joiner, part(b"two", last=True, p2=0x9D))
    assert [command.data for command in inner.asked] == [b"two"]


def test_other_instructions_may_not_come_in_parts() -> None:
    inner = RecordingProcessor(Response(b"", Status.OK))
    joiner = CommandJoiner(inner, frozenset({GENERAL_AUTHENTICATE}))
    assert process(joiner, Command(0x10, Instruction.VERIFY, 0, 0x80)).status == Status.CHAINING_NOT_SUPPORTED
    assert inner.asked == []


def test_a_chain_without_end_is_cut_off() -> None:
    inner = RecordingProcessor(Response(b"", Status.OK))
    joiner = CommandJoiner(inner, frozenset({GENERAL_AUTHENTICATE}))
    answers = [process(joiner, part(bytes(255))).status for _ in range(258)]
    assert answers == [Status.OK] * 257 + [Status.WRONG_LENGTH]
    process(joiner, part(b"new", last=True))
    assert [command.data for command in inner.asked] == [b"new"]


def test_a_long_answer_is_handed_out_in_pieces() -> None:
    cutter = ResponseCutter(RecordingProcessor(Response(bytes(600), Status.OK)))
    get_response = Command(0, Instruction.GET_RESPONSE, 0, 0, b"", 256)
    commands = [Command(0, Instruction.GET_DATA, 0x3F, 0xFF, b"", 256), get_response, get_response]
    pieces = [process(cutter, command) for command in commands]
    assert [(len(piece.data), piece.status) for piece in pieces] == [(256, 0x6100), (256, 0x6158), (88, 0x9000)]
    assert process(cutter, get_response).status == Status.CONDITIONS_NOT_SATISFIED


def test_exactly_256_bytes_need_no_second_piece() -> None:
    cutter = ResponseCutter(RecordingProcessor(Response(bytes(256), Status.OK)))
    assert process(cutter, Command(0, 0xCB, 0x3F, 0xFF)).status == Status.OK


@pytest.mark.parametrize(("left", "status"), [(1, 0x6101), (255, 0x61FF), (256, 0x6100), (257, 0x6100)])
def test_the_status_word_tells_how_much_is_left(left: int, status: int) -> None:
    cutter = ResponseCutter(RecordingProcessor(Response(bytes(8 + left), Status.OK)))
    assert process(cutter, Command(0, 0xCB, 0x3F, 0xFF, b"", 8)) == Response(bytes(8), status)


def test_another_command_drops_what_was_left() -> None:
    inner = RecordingProcessor(Response(bytes(300), Status.OK))
    cutter = ResponseCutter(inner)
    process(cutter, Command(0, 0xCB, 0x3F, 0xFF))
    inner.response = Response(b"", Status.OK)
    process(cutter, Command(0, 0xA4, 0x04, 0x00))
    assert process(cutter, Command(0, 0xC0, 0, 0)).status == Status.CONDITIONS_NOT_SATISFIED


def test_an_extended_command_gets_its_answer_in_one_piece() -> None:
    cutter = ResponseCutter(RecordingProcessor(Response(bytes(5000), Status.OK)))
    assert len(process(cutter, Command(0, 0xCB, 0x3F, 0xFF, b"", 65_536)).data) == 5000


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_both_sides_fit_each_other(question: bytes, answer: bytes) -> None:
    inner = RecordingProcessor(Response(answer, Status.OK))
    card = ResponseCutter(CommandJoiner(inner, frozenset({GENERAL_AUTHENTICATE})))
    sender = ResponseJoiner(CommandSplitter(DirectSender(way_to(card))))
    response = sender.send(Command(0, GENERAL_AUTHENTICATE, 0x07, 0x9A, question, 256))
    assert response == Response(answer, Status.OK)
    assert [command.data for command in inner.asked] == [question]


def test_a_refused_part_ends_the_chain() -> None:
    sent: list[bytes] = []

    def refuse(apdu: bytes) -> bytes:
        sent.append(apdu)
        return bytes.fromhex("6884")

    response = CommandSplitter(DirectSender(refuse)).send(Command(0, 0xDB, 0x3F, 0xFF, bytes(600)))
    assert response.status == Status.CHAINING_NOT_SUPPORTED
    assert len(sent) == 1


@pytest.mark.parametrize("endless", ["6100", "00" * 256 + "6100"])
def test_an_answer_without_end_is_an_error(endless: str) -> None:
    sender = ResponseJoiner(DirectSender(lambda _: bytes.fromhex(endless)))
    with pytest.raises(ApduError):
        sender.send(Command(0, 0xCB, 0x3F, 0xFF))
