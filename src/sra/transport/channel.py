"""A connection with its socket: questions are asked and answered here, and a dead peer is found.

Handshakes are straight lines over ``ask`` and ``next_question``; after them ``serve`` answers what the peer asks, each
question in a task of its own, so that a slow card never holds up anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol, cast

from sra.errors import LinkError, ProtocolError, RefusalCode, RefusedError, SraError
from sra.logs import clean, of_session
from sra.transport.tls_trust import verification_failed
from sra.wire.connection import Connection
from sra.wire.frames import Frame
from sra.wire.messages import (
    ANSWER_TYPES,
    ANSWERS,
    MAX_TEXT,
    Cancel,
    Goodbye,
    Message,
    Ping,
    Pong,
    Refusal,
)
from sra.wire.rates import LATE, MessageMeter, refusal_to
from sra.wire.states import Role

PING_AFTER = 2.5
"""Seconds of silence after which the peer is asked whether it is there."""
DEAD_AFTER = 8.0
"""Seconds of silence after which it is not: with the time to empty the reader, within the 10 s that are promised."""
MAX_UNSENT = 1024 * 1024
"""Bytes that may wait for a peer that does not read, before it is taken for dead."""
GOODBYE_TIME = 0.5
"""Seconds that the last words may take to leave."""

log = logging.getLogger("sra.link")
traffic = logging.getLogger("sra.traffic")


def peer_of(transport: asyncio.BaseTransport) -> tuple[str, bytes]:
    """The peer's network address, without the port; and the certificate (DER) that it showed in the TLS handshake.

    Each is empty where there is none.
    """
    peer, tls = (transport.get_extra_info(name) for name in ("peername", "ssl_object"))
    certificate = tls.getpeercert(binary_form=True) if isinstance(tls, ssl.SSLObject) else None
    return str(peer[0]) if isinstance(peer, tuple) else "", certificate or b""


@contextlib.contextmanager
def released() -> Iterator[None]:
    """Free the TLS of a handshake that fails in here.

    asyncio keeps the error in a future, and the error's traceback keeps that future's frame: a cycle that holds some
    75 KiB of TLS until the garbage of the whole process is collected. A stranger could have many of them made.
    """
    try:
        yield
    except OSError as error:  # TimeoutError and ssl.SSLError are too
        traceback.clear_frames(error.__traceback__)
        raise


class Answerer(Protocol):
    """The part of a program that answers the peer."""

    async def answer(self, question: Message) -> Message:
        """The answer; a raised ``SraError`` is sent as a refusal."""

    async def hear(self, notice: Message) -> None:
        """Take a notice."""


class Channel(asyncio.Protocol):
    """One end of a connection over a byte stream."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self.session = ""
        """What both sides call the session, from Welcome on: it is in every line that is logged of it."""
        self.peer_address = ""
        """The peer's network address, without the port."""
        self.peer_certificate = b""
        """The certificate that the peer showed in the handshake (DER), empty if none."""
        self.on_excess: Callable[[str], None] = lambda kind: log.warning(
            "%s: too many of the message %s", self.name, kind, extra=of_session(self.session)
        )
        """Called with the kind of each message that came too fast and was not acted on."""
        self._connection = connection
        self._theirs, self._ours = MessageMeter(), MessageMeter()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._keepalive: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._reason: SraError | None = None
        self._goodbye: Goodbye | None = None
        self._lost = asyncio.get_running_loop().create_future()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; TLS is up by now."""
        self._transport = cast("asyncio.Transport", transport)
        self._heard_at = self._loop.time()
        self.peer_address, self.peer_certificate = peer_of(transport)

    def data_received(self, data: bytes) -> None:
        """Sort what came: answers to the questions that wait for them, the rest to ``next_question`` or ``serve``."""
        # What crosses our last words comes too late: a key use that the peer asks for now must not be begun.
        if self._reason is not None:
            return
        self._heard_at = self._loop.time()
        try:
            for frame in self._connection.receive_data(data):
                self._take(frame)
        except ProtocolError as error:
            self.abort(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail every open question at once.

        The transport is let go here: it holds some 75 KiB of TLS, and this object is a part of reference cycles (the
        answerer knows the channel, and an error that was raised knows its frames), which are collected much later.
        """
        self._transport = None
        if self._keepalive is not None:
            self._keepalive.cancel()
        if self._reason is None:
            self._reason = LinkError(f"The connection broke: {exc}" if exc else "The other side closed the connection.")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._reason)
                future.exception()  # marks it as looked at: a question that nothing waits for is no cause for a warning
        self._waiting.clear()
        self._frames.put_nowait(None)
        if not self._lost.done():
            self._lost.set_result(None)

    # What the rooms above call.

    @property
    def goodbye(self) -> Goodbye | None:
        """The peer's last words, once they were heard."""
        return self._goodbye

    @property
    def reason(self) -> SraError:
        """Why the connection ended."""
        return self._reason or LinkError("The connection is closed.")

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended, or is about to."""
        return self._reason is not None

    async def wait_lost(self) -> None:
        """Return when the connection has ended."""
        await asyncio.shield(self._lost)

    async def ask(self, question: Message, deadline: float | None = None) -> Message:
        """The peer's answer, within ``deadline`` seconds.

        Raises ``RefusedError`` for a refusal, ``LinkError`` when the connection ends first. When the caller gives up
        waiting (or is cancelled), the peer is told so.
        """
        if self._reason is not None or self._transport is None:
            raise self.reason
        number, data = self._connection.ask(question)
        self._waiting[number] = future = self._loop.create_future()
        self._write(data, number, question)
        try:
            async with asyncio.timeout(deadline):
                answer: Message = await future
        except TimeoutError:
            self._give_up(number)
            raise RefusedError(RefusalCode.TIMEOUT, "There was no answer in time.") from None
        except asyncio.CancelledError:
            self._give_up(number)
            raise
        if isinstance(answer, Refusal):
            # The peer chose these words: cleaned, they can neither move a cursor nor add a line to the log.
            raise RefusedError(answer.code, clean(answer.text, MAX_TEXT))
        return answer

    async def next_question(self, deadline: float) -> Frame:
        """The peer's next question or notice, for handshakes; ``LinkError`` if none comes within ``deadline``."""
        try:
            async with asyncio.timeout(deadline):
                frame = await self._frames.get()
        except TimeoutError:
            raise LinkError(f"Nothing was heard for {deadline:g} s.") from None
        if frame is None:
            raise self.reason
        return frame

    def answer(self, number: int, answer: Message) -> None:
        """Answer the question ``number``; nothing happens if the connection has ended."""
        if self._reason is None:
            self._write(self._connection.answer(number, answer), number, answer)

    def notify(self, notice: Message) -> None:
        """Say something that wants no answer; nothing happens if the connection has ended, or it was said too often."""
        if self._reason is None and self._ours.may_say(type(notice), self._loop.time()):
            self._write(self._connection.notify(notice), 0, notice)

    def start_keepalive(self) -> None:
        """Ask a silent peer whether it is there, from now on."""
        if self._reason is None and self._keepalive is None:
            self._keepalive = self._loop.call_later(PING_AFTER, self._check_alive)

    async def serve(self, answerer: Answerer) -> None:
        """Answer what the peer asks until the connection ends; open answers are given up then."""
        try:
            while (frame := await self._frames.get()) is not None:
                if isinstance(frame.message, Cancel):
                    # The number is the peer's own, so it can only take back what it asked itself.
                    if (task := self._tasks.get(frame.message.question)) is not None:
                        task.cancel()
                elif type(frame.message) in ANSWERS:
                    self._begin(frame, self._answer(frame, answerer))
                    # It begins now: a Cancel in the same packet would end it before it was counted.
                    await asyncio.sleep(0)
                else:
                    await answerer.hear(frame.message)
        except ProtocolError as error:
            self.abort(error)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self, reason: str, *, final: bool = False) -> None:
        """Say goodbye and close; returns when the connection has ended."""
        if self._reason is None:
            with contextlib.suppress(ProtocolError):
                self.notify(Goodbye(reason, final))
            await self.flush_and_close(LinkError(reason))
        await self.wait_lost()

    async def flush_and_close(self, reason: SraError) -> None:
        """Close after what was written has left, but wait for no peer that does not read."""
        self._reason = self._reason or reason
        if self._transport is None:
            self.connection_lost(None)
            return
        if not self._transport.is_closing():  # a TLS transport that is closed twice can't be aborted any more
            self._transport.close()
        try:
            await asyncio.wait([self._lost], timeout=GOODBYE_TIME)
        finally:
            self.abort(reason)

    def abort(self, reason: SraError) -> None:
        """Close at once; everything that waits fails with ``reason``."""
        if self._reason is None:
            log.warning("%s: closed: %s", self.name, reason, extra=of_session(self.session))
            self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    # Inside.

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._lost.get_loop()

    def _note_traffic(self, direction: str, number: int, message: Message) -> None:
        kind = type(message).__name__
        traffic.debug("%s: %s %d %s", self.name, direction, number, kind, extra=of_session(self.session))

    def _take(self, frame: Frame) -> None:
        self._note_traffic("<", frame.number, frame.message)
        kind = type(frame.message)
        # Before anything is done for the message, or a flood would be work even where it is refused.
        if not self._theirs.heard(kind, self._loop.time()):
            self._pass_over(frame)
        elif kind in ANSWER_TYPES:
            future = self._waiting.pop(frame.number, None)
            if future is not None and not future.done():
                future.set_result(frame.message)
        elif isinstance(frame.message, Ping):
            self.answer(frame.number, Pong())
        else:
            self._frames.put_nowait(frame)
            if isinstance(frame.message, Goodbye):
                self._part(frame.message)

    def _pass_over(self, frame: Frame) -> None:
        """Do nothing for what came too fast. A question still gets its answer, which is late: the asker is slowed down.

        A Ping gets none: a peer that sends that many without waiting soon has too many open questions.
        """
        self.on_excess(type(frame.message).__name__)
        if type(frame.message) in ANSWERS and not isinstance(frame.message, Ping):
            self._begin(frame, self._refuse_late(frame))

    async def _refuse_late(self, frame: Frame) -> None:
        await asyncio.sleep(LATE)
        self.answer(frame.number, refusal_to(frame.message))

    def _part(self, goodbye: Goodbye) -> None:
        """Close at once: the peer wants no answer any more, so there is nothing to wait for."""
        self._goodbye = goodbye
        reason = clean(goodbye.reason, MAX_TEXT)
        log.info("%s: the other side says goodbye: %s", self.name, reason, extra=of_session(self.session))
        self._reason = LinkError(f"The other side closed the connection: {reason}")
        cast("asyncio.Transport", self._transport).abort()

    def _write(self, data: bytes, number: int, message: Message) -> None:
        self._note_traffic(">", number, message)
        transport = cast("asyncio.Transport", self._transport)
        transport.write(data)
        # A peer that asks and never reads would have this process keep all its answers.
        if transport.get_write_buffer_size() > MAX_UNSENT:
            self.abort(LinkError("The other side does not read what it is sent."))

    def _give_up(self, number: int) -> None:
        self._waiting.pop(number, None)
        if self._connection.role is Role.REMOTE:
            with contextlib.suppress(ProtocolError):
                self.notify(Cancel(number))

    def _check_alive(self) -> None:
        silent = self._loop.time() - self._heard_at
        if silent >= DEAD_AFTER:
            self.abort(LinkError(f"The link is dead: nothing was heard for {silent:.0f} s."))
            return
        if silent >= PING_AFTER:
            with contextlib.suppress(ProtocolError):  # closing already
                number, data = self._connection.ask(Ping())
                self._write(data, number, Ping())
        wait = PING_AFTER - silent if silent < PING_AFTER else min(PING_AFTER, DEAD_AFTER - silent)
        self._keepalive = self._loop.call_later(wait, self._check_alive)

    def _begin(self, frame: Frame, answering: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(answering)
        self._tasks[frame.number] = task
        task.add_done_callback(lambda _: self._answered(frame.number))

    async def _answer(self, frame: Frame, answerer: Answerer) -> None:
        answer: Message
        try:
            answer = await answerer.answer(frame.message)
        except RefusedError as error:
            answer = Refusal(error.code, error.text[:MAX_TEXT])
        except SraError as error:
            answer = Refusal(RefusalCode.CARD, str(error)[:MAX_TEXT])
        except Exception:
            log.exception("%s: a question could not be answered", self.name, extra=of_session(self.session))
            answer = Refusal(RefusalCode.INTERNAL, "An error inside the program; its log has more.")
        try:
            self.answer(frame.number, answer)
        except ProtocolError as error:
            self.abort(error)

    def _answered(self, number: int) -> None:
        """Also a question that was cancelled gets its answer: the peer counts on it."""
        self._tasks.pop(number, None)
        if self._reason is None and self._connection.is_waiting(number):
            self.answer(number, Refusal(RefusalCode.TIMEOUT, "Nobody waits for this any more."))


async def open_channel(
    host: str, port: int, context: ssl.SSLContext, connection: Connection, *, server_name: str, deadline: float
) -> Channel:
    """Connect by TCP and TLS to the first of the host's addresses that answers, IPv6 or IPv4."""
    try:
        with released():
            async with asyncio.timeout(deadline):
                _, channel = await asyncio.get_running_loop().create_connection(
                    lambda: Channel(connection, f"{host}:{port}"),
                    host,
                    port,
                    ssl=context,
                    server_hostname=server_name,
                    happy_eyeballs_delay=0.25,
                )
    except TimeoutError:
        raise LinkError(f"{host} port {port} does not answer.") from None
    except ssl.SSLCertVerificationError as error:
        raise verification_failed(host, port, error) from error
    except ssl.SSLError as error:
        raise LinkError(f"{host} port {port} answers, but not with TLS that can be trusted: {error.reason}.") from error
    except ConnectionResetError as error:
        raise LinkError(
            f"{host} port {port} hangs up at once: it has too many connections, or is no remote."
        ) from error
    except OSError as error:
        raise LinkError(f"{host} port {port} can't be reached: {error.strerror or error}.") from error
    return channel
