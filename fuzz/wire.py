"""What the two machines say to each other, and what other processes say to srad."""

from __future__ import annotations

import logging

from fuzz.target import attempt, must, pieces, target
from sra.errors import ProtocolError
from sra.logs import MAX_PEER_TEXT, LineFormatter, clean
from sra.remote.screen_sharing import helper_messages
from sra.remote.virtual_card.reader_frames import MAX_COMMAND, DriverQuestion, FrameKind, ReaderConversation
from sra.wire import frames
from sra.wire.connection import Connection
from sra.wire.frames import Frame
from sra.wire.states import Role, State

_MESSAGES = (
    b"hello", b"challenge", b"proof", b"welcome", b"refusal", b"insert-card", b"card-inserted", b"eject-card",
    b"screen-request", b"screen-grant", b"no-screen", b"key-request", b"key-reply", b"pin-request", b"pin-reply",
    b"remark", b"cancel", b"ping", b"pong", b"goodbye", b"attach", b"attached", b"type", b"contents", b"objects",
    b"keys", b"slot", b"algorithm", b"operation", b"input", b"output", b"typed", b"outcome", b"text", b"code",
)  # fmt: skip


def _decode_all(data: bytes) -> list[Frame]:
    received, found = bytearray(data), list[Frame]()
    while (frame := frames.decode(received, frames.MAX_FROM_ADMIN)) is not None:
        found.append(frame)
    return found


@target(max_len=8192, words=_MESSAGES)
def fuzz_frames(data: bytes) -> None:
    """Frames out of a stream; what is read is written as what it was."""
    for frame in attempt(ProtocolError, _decode_all, data) or ():
        must(_decode_all(frames.encode(frame)) == [frame], "a frame that was read is read again as it was")
        must(b"typed=" not in repr(frame).encode(), "a PIN is not in a frame's repr")


@target(max_len=8192, words=_MESSAGES)
def fuzz_frame_body(data: bytes) -> None:
    """One frame's body, so that no length has to be guessed."""
    fuzz_frames(len(data).to_bytes(frames.HEADER_BYTES, "big") + data)


def _receive(role: Role, state: State, parts: list[bytes]) -> list[Frame]:
    connection = Connection(role, state)
    return [frame for part in parts for frame in connection.receive_data(part)]


@target(max_len=2048, seconds=0.6, words=_MESSAGES)
def fuzz_connection(data: bytes) -> None:
    """One end of a connection in any state: pieces make no difference to what was said."""
    if not data:
        return
    states = list(State)
    role, state = list(Role)[data[0] & 1], states[(data[0] >> 1) % len(states)]
    outcomes = [attempt(ProtocolError, _receive, role, state, parts) for parts in pieces(data[1:])]
    must(all(outcome == outcomes[0] for outcome in outcomes), "the same bytes in other pieces are the same frames")


def _converse(parts: list[bytes]) -> list[DriverQuestion]:
    conversation, questions = ReaderConversation(), list[DriverQuestion]()
    for part in parts:
        if part and (question := conversation.receive(part)) is not None:
            questions.append(question)
            must(conversation.answer(b"\x90\x00" if question.kind is FrameKind.APDU else b""), "an answer has a frame")
    return questions


@target(words=(b"\x02\0\0\0\0", b"\x03\0\0\0\0", b"\x04\0\0\0\x04\0\xa4\4\0"))
def fuzz_reader_frames(data: bytes) -> None:
    """The driver's questions, byte by byte; the driver never asks two at once, so whole streams are refused."""
    for parts in pieces(data):
        for question in attempt(ProtocolError, _converse, parts) or ():
            must(len(question.body) <= MAX_COMMAND, "a command is no longer than commands are")


@target(
    words=(b'{"type":"', b"grant", b"open", b"lock", b"burn", b"collect", b"written", b"granted", b"failed", b"ended")
)
def fuzz_screen_vocabulary(data: bytes) -> None:
    """What srad, PAM and sra-screen say to each other."""
    for parse in (helper_messages.decode_request, helper_messages.decode_reply):
        said = attempt(ProtocolError, parse, data)
        if said is not None:
            must(parse(helper_messages.encode(said)) == said, "what was said is said again as it was")


@target(max_len=1024)
def fuzz_peer_text(data: bytes) -> None:
    """Text of others (announcements, remarks, names) on its way to a terminal and into a log."""
    shown = clean(data.decode(errors="replace"))
    must(len(shown) <= MAX_PEER_TEXT and shown.isprintable(), "cleaned text is one printable line")
    must(clean(shown) == shown, "cleaned text stays as it is")
    record = logging.LogRecord("sra", logging.INFO, "", 0, "%s", (data.decode(errors="replace"),), None)
    for journal in (True, False):
        must(LineFormatter(journal=journal).format(record).isprintable(), "a record is one line")
