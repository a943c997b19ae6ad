"""One end of a connection, without I/O: bytes in, frames out, and the table and the questions kept.

The order of calls: ``ask``, ``answer`` and ``notify`` give the bytes to be sent, at once and in that order;
``receive_data`` takes what was received and gives the frames that it completed. Once it has raised ``ProtocolError``
the connection is to be closed; where one of the others raises it, this end may not say that now, and nothing was said.
"""

from __future__ import annotations

from sra.errors import ProtocolError
from sra.wire import frames, states
from sra.wire.frames import Frame
from sra.wire.messages import ANSWER_TYPES, ANSWERS, Message
from sra.wire.states import Role, State

MAX_OPEN_QUESTIONS = 64
"""Questions of the peer that may wait for their answers: more than all programs of a machine ever have."""

_STRANGERS = (State.OPENED, State.GREETED, State.CHALLENGED, State.PROVEN, State.DETACHED, State.ATTACHING)


class Connection:
    """One end of a connection."""

    def __init__(self, role: Role, state: State = State.OPENED) -> None:
        self.role = role
        self.state = state
        self._received = bytearray()
        self._last_asked = 0
        self._last_heard = 0
        self._asked: dict[int, type[Message]] = {}
        self._heard: dict[int, type[Message]] = {}

    def ask(self, question: Message) -> tuple[int, bytes]:
        """The question's number, and the bytes to be sent."""
        self._last_asked += 1
        number = self._last_asked
        # The table first: a question that may not be asked now raises, and no answer to it is expected.
        data = self._send(Frame(number, question))
        self._asked[number] = type(question)
        return number, data

    def answer(self, number: int, answer: Message) -> bytes:
        """The bytes of the answer to the peer's question ``number``."""
        question = self._heard.get(number)
        if question is None or type(answer) not in ANSWERS[question]:
            raise ProtocolError(f"{type(answer).__name__} answers no question {number}")
        data = self._send(Frame(number, answer))
        del self._heard[number]
        return data

    def notify(self, notice: Message) -> bytes:
        """The bytes of a message that wants no answer."""
        return self._send(Frame(0, notice))

    def _send(self, frame: Frame) -> bytes:
        self.state = states.after(self.state, self.role, frame.message)
        return frames.encode(frame)

    def is_waiting(self, number: int) -> bool:
        """Whether the peer still waits for the answer to its question ``number``."""
        return number in self._heard

    def receive_data(self, data: bytes) -> list[Frame]:
        """The frames completed by ``data``."""
        self._received += data
        complete: list[Frame] = []
        while True:
            # Before every frame, since a frame changes the state: a stranger may never make us keep what an admin may.
            if self.role is Role.ADMIN:
                limit = frames.MAX_FROM_REMOTE
            else:
                limit = frames.MAX_HANDSHAKE if self.state in _STRANGERS else frames.MAX_FROM_ADMIN
            frame = frames.decode(self._received, limit)
            if frame is None:
                return complete
            # First the number, then the state: what breaks either rule raises, and nothing of it is acted on.
            self._check_number(frame.number, type(frame.message))
            self.state = states.after(self.state, self.role.peer, frame.message)
            complete.append(frame)

    def _check_number(self, number: int, kind: type[Message]) -> None:
        """Raise ``ProtocolError`` for an answer that was not asked for, a question out of order, a numbered notice."""
        if kind in ANSWER_TYPES:
            # Taken out at once, so that a question has one answer: a second one would be a peer's to choose freely.
            question = self._asked.pop(number, None)
            if question is None or kind not in ANSWERS[question]:
                raise ProtocolError(f"{kind.__name__} answers no question {number}")
        elif kind in ANSWERS:
            # Numbers only rise: one that comes again could be taken for the question that is still open.
            if number <= self._last_heard:
                raise ProtocolError(f"question {number} after question {self._last_heard}")
            if len(self._heard) >= MAX_OPEN_QUESTIONS:
                raise ProtocolError(f"more than {MAX_OPEN_QUESTIONS} open questions")
            self._last_heard = number
            self._heard[number] = kind
        elif number != 0:
            raise ProtocolError(f"{kind.__name__} with the number {number}")
