"""What a running connection shows, and that no text of a remote can do anything to the terminal."""

from __future__ import annotations

import io
import re
from typing import get_args

import pytest
from rich.console import Console

from sra.admin.events import (
    CardBusy,
    CodeClosed,
    Connected,
    Ejected,
    Event,
    Flooded,
    Inserted,
    KeyUsed,
    KeyWithheld,
    LinkLost,
    Paused,
    PinAsked,
    QuestionsStopped,
    RealPinTyped,
    Refused,
    ScreenClosed,
    ScreenOpened,
    ScreenRecorded,
    TooMany,
)
from sra.cli.console.status_view import StatusView
from sra.piv.keys import Operation, PinOutcome, Slot

DIGEST = bytes(range(32))
SHOWN: list[tuple[Event, str]] = [
    (Connected("ann", "remote-host", "1a2b3c4d"), "Connected to remote as ann (session 1a2b3c4d)."),
    (Inserted("reader 0"), "The card is inserted in “reader 0”."),
    (KeyWithheld(Slot.KEY_MANAGEMENT, "it is the same key as 9A"), "Key 9D is not inserted: it is the same key as 9A."),
    (Inserted("r”. Type your PIN: “\u3164"), r"The card is inserted in “r\u201d. Type your PIN: \u201c?”."),
    (Ejected("the reader broke"), "The remote ejected the card: the reader broke"),
    (
        KeyUsed(Slot.AUTHENTICATION, Operation.SIGN, "sha256", DIGEST, 12.4),
        "Key 9A signed the sha256 digest 0001020304050607… in 12 ms.",
    ),
    (QuestionsStopped(3), "3 questions in a row got no yes. For more: sra session resume"),
    (Flooded(500), "Refused: 500 requests came too fast."),
    (TooMany("Remark"), "The remote says Remark too often."),
    (KeyUsed(Slot.SIGNATURE, Operation.SIGN, "pss-sha256", b"", 9.0), "Key 9C signed (pss-sha256) in 9 ms."),
    (KeyUsed(Slot.KEY_MANAGEMENT, Operation.DECRYPT, "", b"", 1.0), "Key 9D decrypted in 1 ms."),
    (KeyUsed(Slot.RETIRED_1, Operation.DERIVE, "", b"", 1.0), "Key 82 derived a secret in 1 ms."),
    (PinAsked(True, PinOutcome.WRONG), "PIN typed on the remote: wrong."),
    (PinAsked(False, PinOutcome.VERIFIED), "PIN asked on the PIN pad: right."),
    (PinAsked(False, PinOutcome.CANCELLED), "PIN asked on the PIN pad: refused."),
    (Refused("sign with slot 9A", "no"), "Refused: sign with slot 9A: no"),
    (LinkLost("The connection broke.", 0.5), "The connection broke. Trying again in 0.5 s."),
    (
        RealPinTyped(),
        "Your real PIN was typed on remote. It was refused, but that machine has seen it: change it.",
    ),
    (
        CodeClosed(),
        "The session code was typed wrong too often. Nothing is lent until you run: sra session reopen",
    ),
    (CardBusy(Slot.AUTHENTICATION), "The card is still busy with key 9A: touch it if it blinks."),
    (Paused(True), "Paused: the remote gets nothing until you resume."),
    (Paused(False), "Resumed."),
    (ScreenRecorded(), "The remote records its screen."),
    (ScreenOpened(False), "The remote's screen is shown."),
    (ScreenOpened(True), "The remote's screen is shown, to be watched only."),
    (
        ScreenClosed("The viewer was closed.", 7, 1000, 10),
        "The viewer was closed. The remote's screen was shown for 7 s.",
    ),
]
HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "two\nlines\r\x08",
    "\u202eturned round",
    "\x9b2J",
    "\x00",
]
MARKUP = ["[bold red]x[/bold red]", "[/]", "[link=https://example.com]x", ":warning:", "[[x]]", "back\\slash\\"]


class Screen:
    """A view, and what it has written."""

    def __init__(self, remote: str = "remote", *, terminal: bool = False) -> None:
        self._file = io.StringIO()
        console = Console(file=self._file, force_terminal=terminal, width=300, color_system=None)
        self.view = StatusView(console, remote)

    @property
    def text(self) -> str:
        return self._file.getvalue()


def line_of(event: Event) -> str:
    screen = Screen()
    screen.view.notice(event)
    (line,) = screen.text.splitlines()
    return line


def test_every_kind_of_event_has_a_line() -> None:
    assert {type(event) for event, _ in SHOWN} == set(get_args(Event))


@pytest.mark.parametrize(("event", "text"), SHOWN, ids=lambda value: type(value).__name__)
def test_an_event_is_one_line_with_the_time(event: Event, text: str) -> None:
    line = line_of(event)
    assert re.fullmatch(r"\d\d:\d\d:\d\d ", line[:9])
    assert line[9:] == text


@pytest.mark.parametrize("outcome", PinOutcome)
def test_every_outcome_of_a_pin_question_is_told(outcome: PinOutcome) -> None:
    assert "PIN" in line_of(PinAsked(True, outcome))


def events_with(text: str) -> list[Event]:
    """Every event that can hold a remote's text."""
    return [Connected(text, text, text), Inserted(text), Ejected(text), LinkLost(text, 1.0)]


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_of_a_remote_are_shown_as_question_marks(text: str) -> None:
    for event in events_with(text):
        line = line_of(event)
        assert line.isprintable()
        assert "?" in line


@pytest.mark.parametrize("text", MARKUP)
def test_markup_of_a_remote_is_text(text: str) -> None:
    for event in events_with(text):
        assert text in line_of(event)


@pytest.mark.parametrize("text", HOSTILE + MARKUP)
def test_the_status_line_shows_no_more_than_the_lines_do(text: str) -> None:
    screen = Screen(terminal=True)
    screen.view.start()
    try:
        for event in events_with(text):
            screen.view.notice(event)
            screen.view._console.print("")
    finally:
        screen.view.stop()
    without_our_own = re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]", "", screen.text)
    for line in re.split(r"[\r\n]+", without_our_own):
        assert line.isprintable(), line


def test_a_long_text_of_a_remote_is_cut() -> None:
    assert len(line_of(Ejected("x" * 1000))) < 300


def test_the_status_line_tells_how_it_stands() -> None:
    view = Screen("remote:4117").view
    standings = []
    events: list[Event] = [
        Connected("ann", "host", "1a2b3c4d"),
        Inserted("reader 0"),
        PinAsked(True, PinOutcome.VERIFIED),
        Ejected("x"),
        LinkLost("x", 1),
    ]
    for event in events:
        view.notice(event)
        standings.append(re.sub(r"\d\d:\d\d:\d\d ", "", view._standing()))
    connected, end = "remote:4117: connected as ann · card ", " · Ctrl-C ejects and disconnects"
    last = " · PIN typed on the remote: right."
    assert standings == [
        f"{connected}not inserted{end}",
        f"{connected}inserted in “reader 0”{end}",
        f"{connected}inserted in “reader 0”{last}{end}",
        f"{connected}not inserted{last}{end}",
        "remote:4117: not connected",
    ]


def test_an_ipv6_address_is_shown_as_it_is() -> None:
    screen = Screen("[2001:db8::1]:4117", terminal=True)
    screen.view.start()
    screen.view.notice(LinkLost("broke", 1.0))
    screen.view.stop()
    assert "[2001:db8::1]:4117: not connected" in screen.text


def test_a_question_has_the_terminal_for_itself() -> None:
    screen = Screen(terminal=True)
    screen.view.start()
    with screen.view.paused():
        before = screen.text
        screen.view.notice(Inserted("reader 0"))
        assert "Ctrl-C ejects" not in screen.text[len(before) :]
    screen.view.stop()


def test_where_there_is_no_terminal_there_are_only_lines() -> None:
    screen = Screen()
    screen.view.start()
    screen.view.notice(Connected("ann", "host", "1a2b3c4d"))
    with screen.view.paused():
        pass
    screen.view.stop()
    assert screen.text.count("\n") == 1
    assert "\x1b" not in screen.text


def test_a_remote_does_not_scroll_away_what_the_person_has_read() -> None:
    now = [0.0]
    file = io.StringIO()
    view = StatusView(Console(file=file, width=300, color_system=None), "remote", lambda: now[0])
    view.notice(Connected("ann", "host", "1a2b3c4d"))
    for number in range(60 * 60 * 5):
        now[0] = number / 5
        view.notice(Refused(f"sign with slot {number % 256:02X}", f"a text of the remote's choice {number}"))
    view.tell_counts(at_once=True)
    lines = file.getvalue().splitlines()
    assert "Connected to remote" in lines[0]
    assert len(lines) <= 2 + 60 + 1
    counted = [int(line.split()[1]) for line in lines if "more like this" in line]
    assert sum(counted) + len(lines) - 1 - len(counted) == 60 * 60 * 5


def test_a_card_that_comes_and_goes_without_end_is_counted_and_the_standing_stays_true() -> None:
    now = [0.0]
    file = io.StringIO()
    view = StatusView(Console(file=file, width=300, color_system=None), "remote", lambda: now[0])
    for number in range(1000):
        now[0] = float(number)
        view.notice(Connected("ann", "host", f"{number:08x}"))
        view.notice(Inserted(f"reader {number}"))
    assert "reader 999" in view._standing()
    assert len(file.getvalue().splitlines()) < 2 * (10 + 1000 / 60 + 2)


def view_at_one_time() -> tuple[StatusView, io.StringIO]:
    """A view for which no time passes, and what it writes."""
    file = io.StringIO()
    return StatusView(Console(file=file, width=300, color_system=None), "remote", lambda: 0.0), file


def test_ordinary_work_has_a_line_for_each_use_of_a_key_and_each_pin() -> None:
    view, file = view_at_one_time()
    for number in range(100):
        view.notice(PinAsked(True, PinOutcome.VERIFIED))
        view.notice(KeyUsed(Slot.AUTHENTICATION, Operation.SIGN, "sha256", bytes([number]) * 32, 1.0))
    lines = file.getvalue().splitlines()
    assert len(lines) == 200
    assert not any("more like this" in line for line in lines)


def test_a_remote_does_not_hide_the_use_of_a_key_behind_uses_of_another() -> None:
    view, file = view_at_one_time()
    for _ in range(1000):
        view.notice(KeyUsed(Slot.AUTHENTICATION, Operation.SIGN, "sha256", DIGEST, 1.0))
    view.notice(KeyUsed(Slot.KEY_MANAGEMENT, Operation.DECRYPT, "", b"", 1.0))
    lines = file.getvalue().splitlines()
    assert len(lines) == 101
    assert lines[-1].endswith("Key 9D decrypted in 1 ms.")


def test_each_key_that_is_not_inserted_is_named() -> None:
    view, file = view_at_one_time()
    for slot in Slot:
        view.notice(KeyWithheld(slot, "it is the same key as 9A"))
    assert len(file.getvalue().splitlines()) == len(Slot) > 10
