"""What a running connection shows: a line for each thing that happens, and one that tells how it stands.

Things that repeat are counted, and told in one line a minute: a remote can't scroll away what the person has read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.text import Text

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
    ScreenEvent,
    ScreenOpened,
    ScreenRecorded,
    TooMany,
    UseEvent,
    WarningEvent,
)
from sra.admin.guard.claims import shown_remark
from sra.admin.guard.questions import UseQuestion
from sra.logs import clean
from sra.piv.keys import Operation, PinOutcome
from sra.repetitions import Quota, RepetitionKind, Repetitions

_DID = {Operation.SIGN: "signed", Operation.DECRYPT: "decrypted", Operation.DERIVE: "derived a secret"}


_OF_THE_REMOTE = Quota(1, 60)
"""Lines about what a remote causes alone."""
_OF_USES = Quota(100, 60)
"""Lines about the uses of one key, and about PINs: ordinary work has each of its lines, a loop has not."""
_OF_THE_REST = Quota(10, 60)
"""Lines about a link that breaks again and again, a card that comes and goes."""


class StatusView:
    """Shows events as they happen; on a terminal with a status line below them."""

    def __init__(self, console: Console, remote: str, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._repetitions: Repetitions[str] = Repetitions()
        self._console = console
        self._remote = remote
        self._account = ""
        self._reader = ""
        self._last = ""
        self._status = console.status("") if console.is_terminal else None
        self._update(f"connecting to {remote}")

    def notice(self, event: Event) -> None:
        """Print the event, or count it, and bring the status line up to date."""
        line = self._line(event)
        if self._repetitions.passes(_kind(event), _quota(event), line, self._now()):
            self._print(line)
        self.tell_counts()
        self._update(self._standing())

    def tell_counts(self, *, at_once: bool = False) -> None:
        """Print how many were not printed one by one, as it falls due."""
        for repeated in self._repetitions.due(self._now(), at_once=at_once):
            self._repetitions.told(repeated)
            self._print(f"{repeated.count} more like this: {repeated.latest}")

    def _print(self, line: str) -> None:
        shown = Text.assemble((f"{datetime.now():%H:%M:%S}", "dim"), " ", line)
        self._console.print(shown, highlight=False, soft_wrap=True)

    def start(self) -> None:
        """Show the status line."""
        if self._status is not None:
            self._status.start()

    def stop(self) -> None:
        """Take the status line away."""
        if self._status is not None:
            self._status.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to a question."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(Text(text))

    def _standing(self) -> str:
        if not self._account:
            return f"{self._remote}: not connected"
        card = f"card inserted in “{self._reader}”" if self._reader else "card not inserted"
        last = f" · {self._last}" if self._last else ""
        return f"{self._remote}: connected as {self._account} · {card}{last} · Ctrl-C ejects and disconnects"

    def _line(self, event: Event) -> str:
        if isinstance(event, Connected):
            self._account = clean(event.account)  # and not what the remote calls itself: it could say any name
            return f"Connected to {self._remote} as {self._account} (session {clean(event.session)})."
        if isinstance(event, Inserted):
            self._reader = shown_remark(clean(event.reader))
            return f"The card is inserted in “{self._reader}”."
        if isinstance(event, KeyWithheld):
            return f"Key {event.slot:02X} is not inserted: {event.reason}."
        if isinstance(event, Ejected):
            self._reader = ""
            who = "Ejected" if event.wished else "The remote ejected the card"
            return f"{who}: {clean(event.reason)}"
        if isinstance(event, LinkLost):
            self._account = self._reader = ""
            return f"{clean(event.reason)} Trying again in {event.retry_in:g} s."
        if isinstance(event, Paused):
            return "Paused: the remote gets nothing until you resume." if event.paused else "Resumed."
        if isinstance(event, ScreenEvent):
            return _screen(event)
        return self._use(event)

    def _use(self, event: UseEvent) -> str:
        if isinstance(event, KeyUsed):
            text = f"Key {event.slot:02X} {_DID[event.operation]} {_describe(event)}in {event.milliseconds:.0f} ms."
        elif isinstance(event, PinAsked):
            where = "typed on the remote" if event.typed else "asked on the PIN pad"
            text = f"PIN {where}: {_OUTCOMES[event.outcome]}."
        elif isinstance(event, Refused):
            text = f"Refused: {event.what}: {event.reason}"
        else:
            text = self._warning(event)
        self._last = f"{datetime.now():%H:%M:%S} {text}"
        return text

    def _warning(self, event: WarningEvent) -> str:
        if isinstance(event, QuestionsStopped):
            return f"{event.questions} questions in a row got no yes. For more: sra session resume"
        if isinstance(event, TooMany):
            return f"The remote says {event.message} too often."
        if isinstance(event, Flooded):
            return f"Refused: {event.refused} requests came too fast."
        if isinstance(event, RealPinTyped):
            return (
                f"Your real PIN was typed on {self._remote}. It was refused, but that machine has seen it: change it."
            )
        if isinstance(event, CodeClosed):
            return "The session code was typed wrong too often. Nothing is lent until you run: sra session reopen"
        return f"The card is still busy with key {event.slot:02X}: touch it if it blinks."


def _kind(event: Event) -> RepetitionKind:
    """What is counted together: in words of this program, never the remote's.

    Each key is counted by itself, so that many uses of one do not hide the first of another.
    """
    if isinstance(event, Refused):
        apart = str(event.code)
    elif isinstance(event, PinAsked):
        apart = f"{event.typed} {event.outcome}"
    elif isinstance(event, KeyUsed | KeyWithheld | CardBusy):
        apart = f"{event.slot:02X}"
    else:
        apart = ""
    return RepetitionKind((type(event).__name__, apart))


def _quota(event: Event) -> Quota:
    if isinstance(event, Refused | Flooded | TooMany | CardBusy):
        return _OF_THE_REMOTE
    return _OF_USES if isinstance(event, KeyUsed | PinAsked) else _OF_THE_REST


def _screen(event: ScreenEvent) -> str:
    if isinstance(event, ScreenRecorded):
        return "The remote records its screen."
    if isinstance(event, ScreenOpened):
        return (
            "The remote's screen is shown, to be watched only." if event.view_only else "The remote's screen is shown."
        )
    return f"{clean(event.reason)} The remote's screen was shown for {event.seconds} s."


def describe_use(question: UseQuestion) -> str:
    """What a remote wants to do with a key, for a question."""
    what = f", {question.hash_name}" if question.hash_name else ""
    digest = f" digest {question.digest.hex()}" if question.digest else ""
    return f"{question.operation} with key {question.slot:02X}{what}{digest}"


_OUTCOMES = {
    PinOutcome.VERIFIED: "right",
    PinOutcome.WRONG: "wrong",
    PinOutcome.BLOCKED: "no tries are left",
    PinOutcome.CANCELLED: "refused",
    PinOutcome.TIMED_OUT: "not answered in time",
}


def _describe(event: KeyUsed) -> str:
    if event.digest:
        return f"the {event.hash_name} digest {event.digest.hex()[:16]}… "
    return f"({event.hash_name}) " if event.hash_name else ""
