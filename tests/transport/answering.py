"""Those who answer at one end of a channel, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sra.piv.keys import Algorithm, KeyReply, KeyRequest, Operation, Slot
from sra.wire.messages import Message

Answer = Callable[[Message], Awaitable[Message]]


def request(number: int) -> KeyRequest:
    return KeyRequest(Slot.AUTHENTICATION, Algorithm.P256, Operation.SIGN, bytes([number]) * 32)


class Answering:
    """An ``Answerer`` made of one function, which remembers the notices."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heard: list[Message] = []

    async def answer(self, question: Message) -> Message:
        return await self._answer(question)

    async def hear(self, notice: Message) -> None:
        self.heard.append(notice)


async def echo(question: Message) -> Message:
    assert isinstance(question, KeyRequest)
    return KeyReply(question.input)


async def never(_: Message) -> Message:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets")
