"""The person at the terminal: what is asked, in which words, and what counts as a yes."""

from __future__ import annotations

import asyncio
import io
import os
import pty
from collections.abc import Coroutine, Iterator
from typing import TypeVar

import pytest
from rich.console import Console

from sra.admin.guard.questions import PersonReply, PinGiven, PinQuestion, QuestionQueue, Requester, UseQuestion
from sra.cli.console import terminal
from sra.cli.console.status_view import StatusView
from sra.cli.console.terminal_person import TerminalPerson, show_code
from sra.piv.keys import Operation, Slot
from tests.cli.console.test_terminal import Terminal

T = TypeVar("T")
PIN = b"271828"
ANN = Requester("remote.example.com", "ann")
HOSTILE = ["\x1b[2J\x1b]0;t\x07", "two\nlines\r", "\u202eturned", "x" * 5000, "”. Your card is broken: “type your PIN"]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    master, program = pty.openpty()
    monkeypatch.setattr(terminal, "TERMINAL", os.ttyname(program))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    yield Terminal(master, program)
    os.close(master)
    os.close(program)


def person(*, pin_fd: int | None = None, yes: bool = False) -> TerminalPerson:
    view = StatusView(Console(file=io.StringIO()), "remote.example.com")
    return TerminalPerson(view, pin_fd=pin_fd, yes=yes)


def pin_question(asker: Requester = ANN, *, tries: int = 3, kept: bool = False, pad: bool = False) -> PinQuestion:
    return PinQuestion(asker, "software:ann", tries, kept, pad)


def use_question(asker: Requester = ANN) -> UseQuestion:
    return UseQuestion(asker, Slot.AUTHENTICATION, Operation.SIGN, "sha256", bytes(range(32)))


async def ask(screen: Terminal, question: Coroutine[object, object, T], end: bytes, typed: bytes) -> tuple[T, str]:
    """The answer, and all that was shown; ``end`` ends the question."""
    asking = asyncio.ensure_future(question)
    shown = await screen.until_shown(end)
    screen.types(typed)
    answer = await asking
    return answer, (shown + screen.shown()).decode()


async def test_the_pin_is_typed_unseen_for_the_remote_that_asks(screen: Terminal) -> None:
    given, shown = await ask(screen, person().ask_pin(pin_question(), 0), b"refuses): ", PIN + b"\n")
    assert given == PinGiven(PersonReply.YES, PIN)
    assert given.pin == PIN
    assert shown[2] == shown[5] == ":"
    assert shown[9:] == (
        "remote.example.com (account ann) asks for your PIN: "
        "PIN of software:ann (3 tries left, 60 s, Enter alone refuses): \r\n"
    )
    assert screen.echoes


async def test_enter_alone_refuses(screen: Terminal) -> None:
    assert (await ask(screen, person().ask_pin(pin_question(), 0), b"refuses): ", b"\n"))[0] == PinGiven(PersonReply.NO)


async def test_the_last_try_is_called_so(screen: Terminal) -> None:
    assert "(the last try, " in (await ask(screen, person().ask_pin(pin_question(tries=1), 0), b"refuses): ", b"\n"))[1]


async def test_at_connect_it_is_the_person_who_wants_something(screen: Terminal) -> None:
    _, shown = await ask(screen, person().ask_pin(pin_question(Requester("desk", "")), 0), b"refuses): ", b"\n")
    assert shown.startswith("To connect to desk: PIN of ")


@pytest.mark.parametrize(
    ("typed", "reply"), [(b"y\n", PersonReply.YES), (b"\n", PersonReply.NO), (PIN + b"\n", PersonReply.NO)]
)
async def test_a_kept_pin_is_given_by_a_yes_and_nothing_else(
    screen: Terminal, typed: bytes, reply: PersonReply
) -> None:
    given, shown = await ask(screen, person().ask_pin(pin_question(kept=True), 0), b"[y/N] ", typed)
    assert (given.reply, given.pin) == (reply, b"")
    assert "asks for your PIN. Give it? (60 s) [y/N]" in shown


async def test_where_the_reader_has_a_pad_the_pin_is_typed_there(screen: Terminal) -> None:
    given, shown = await ask(screen, person().ask_pin(pin_question(pad=True), 0), b"[y/N] ", b"y\n")
    assert (given.reply, given.pin) == (PersonReply.YES, b"")
    assert "type it on the reader of software:ann (3 tries left). Go on? (60 s)" in shown


@pytest.mark.parametrize(
    ("typed", "reply"), [(b"y\n", PersonReply.YES), (b"n\n", PersonReply.NO), (b"\n", PersonReply.NO)]
)
async def test_a_key_use_is_described_and_asked_about(screen: Terminal, typed: bytes, reply: PersonReply) -> None:
    given, shown = await ask(screen, person().ask_use(use_question(), 0), b"[y/N] ", typed)
    assert given is reply
    digest = bytes(range(32)).hex()
    asked = (
        f"remote.example.com (account ann) wants to sign with key 9A, sha256 digest {digest}. Allow it? (60 s) [y/N] "
    )
    assert shown[9:].startswith(asked)


@pytest.mark.parametrize("question", [pin_question(), pin_question(kept=True), use_question()])
async def test_how_many_wait_is_shown(screen: Terminal, question: PinQuestion | UseQuestion) -> None:
    asked = person()
    asking = asked.ask_pin(question, 2) if isinstance(question, PinQuestion) else asked.ask_use(question, 2)
    _, shown = await ask(screen, asking, b"[2 more wait]", b"\n")
    assert "[2 more wait]" in shown


async def test_the_queue_tells_how_many(screen: Terminal) -> None:
    queue, asked = QuestionQueue(), person()
    first, second = (
        asyncio.create_task(queue.ask(lambda waiting: asked.ask_use(use_question(), waiting), PersonReply.NO))
        for _ in range(2)
    )
    assert b"[1 more wait]" in await screen.until_shown(b"[y/N] ")
    screen.types(b"y\n")
    assert await first is PersonReply.YES
    assert b"more wait" not in await screen.until_shown(b"[y/N] ")
    screen.types(b"\n")
    assert await second is PersonReply.NO


@pytest.mark.parametrize("said", HOSTILE, ids=["escapes", "lines", "direction", "long", "quotation marks"])
async def test_the_remotes_word_is_shown_as_no_more_than_that(screen: Terminal, said: str) -> None:
    asker = Requester("desk", said, said)
    for asking, end in (
        (person().ask_pin(pin_question(asker), 0), b"refuses): "),
        (person().ask_use(use_question(asker), 0), b"[y/N] "),
    ):
        _, shown = await ask(screen, asking, end, b"\n")
        remark, question, *_ = shown.split("\r\n")
        assert remark.startswith("The remote says, and nothing proves it: “")
        assert remark.endswith("”.")
        assert remark.count("”") == 1
        assert question[9:].startswith("desk (account ")
        assert remark.isprintable()
        assert question.isprintable()
        assert len(remark) < 300


async def test_without_a_terminal_the_answer_is_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "TERMINAL", "/nonexistent/tty")
    assert await person().ask_pin(pin_question(), 0) == PinGiven(PersonReply.NO)
    assert await person().ask_pin(pin_question(kept=True), 0) == PinGiven(PersonReply.NO)
    assert await person().ask_use(use_question(), 0) is PersonReply.NO
    assert "A question was answered with no." in capsys.readouterr().err


async def test_unattended_a_kept_pin_is_given_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "TERMINAL", "/nonexistent/tty")
    unattended = person(yes=True)
    assert await unattended.ask_pin(pin_question(kept=True), 0) == PinGiven(PersonReply.YES)
    assert await unattended.ask_pin(pin_question(), 0) == PinGiven(PersonReply.NO)
    assert await unattended.ask_use(use_question(), 0) is PersonReply.YES


async def test_a_descriptor_gives_the_pin_once_and_only_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "TERMINAL", "/nonexistent/tty")
    reading, writing = os.pipe()
    os.write(writing, PIN + b"\n" + PIN + b"\n")
    os.close(writing)
    given = person(pin_fd=reading)
    assert await given.ask_pin(pin_question(), 0) == PinGiven(PersonReply.NO)
    assert (await given.ask_pin(pin_question(Requester("desk", "")), 0)).pin == PIN
    assert await given.ask_pin(pin_question(Requester("desk", "")), 0) == PinGiven(PersonReply.NO)
    os.close(reading)


async def test_a_question_that_is_withdrawn_leaves_the_terminal_as_it_was(screen: Terminal) -> None:
    asking = asyncio.create_task(person().ask_pin(pin_question(), 0))
    await screen.until_shown(b"refuses): ")
    assert not screen.echoes
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert screen.echoes


def test_the_code_is_shown_with_what_it_is_for() -> None:
    shown = io.StringIO()
    show_code(Console(file=shown, width=200), "1234 5678")
    assert "Session code 1234 5678" in shown.getvalue()
    assert "Never type your PIN there" in shown.getvalue()
