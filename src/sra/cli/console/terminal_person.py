"""The person at the terminal of ``sra connect``, and who answers where there is none."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console

from sra.admin.guard.claims import shown_remark
from sra.admin.guard.questions import DEADLINE, PersonReply, PinGiven, PinQuestion, Requester, UseQuestion
from sra.cli.console import notifications, terminal
from sra.cli.console.pins import read_pin
from sra.cli.console.status_view import StatusView, describe_use
from sra.errors import UsageError
from sra.logs import clean
from sra.programs.run import print_error


class TerminalPerson:
    """Asks on the terminal (``admin.person.Person``).

    ``pin_fd`` gives the PIN once, without asking; ``yes`` answers everything else that a remote asks with yes, for
    unattended use. Without a terminal the answer is no.
    """

    def __init__(self, view: StatusView, *, pin_fd: int | None, yes: bool) -> None:
        self._view = view
        self._pin_fd = pin_fd
        self._yes = yes

    async def ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        """Ask for the PIN, or, where it is kept, whether it may be used."""
        if question.asker.account and self._yes:
            return PinGiven(PersonReply.YES if question.kept else PersonReply.NO)
        if self._pin_fd is not None and not question.asker.account:
            descriptor, self._pin_fd = self._pin_fd, None
            return PinGiven(PersonReply.YES, read_pin("", descriptor))
        return await self._ask_pin(question, waiting)

    async def ask_use(self, question: UseQuestion, waiting: int) -> PersonReply:
        """Ask whether a key may be used."""
        if self._yes:
            return PersonReply.YES
        text = f"{_who(question.asker)} wants to {describe_use(question)}. Allow it?"
        return await self._ask_yes_no(text, question.asker, waiting)

    async def _ask_pin(self, question: PinQuestion, waiting: int) -> PinGiven:
        asker = question.asker
        if question.kept:
            return PinGiven(await self._ask_yes_no(f"{_who(asker)} asks for your PIN. Give it?", asker, waiting))
        tries = "the last try" if question.attempts_remaining == 1 else f"{question.attempts_remaining} tries left"
        reason = f"{_who(asker)} asks for your PIN" if asker.account else f"To connect to {asker.remote}"
        how = f"{tries}, {DEADLINE:.0f} s, Enter alone refuses"
        if question.pad:
            text = f"{reason}: type it on the reader of {question.card} ({tries}). Go on?"
            return PinGiven(await self._ask_yes_no(text, asker, waiting))
        text = f"{_remark(asker)}{reason}: PIN of {question.card} ({how}){_more(waiting)}: "
        line = await self._ask(text, asker, hidden=True)
        return PinGiven(PersonReply.YES, line) if line else PinGiven(PersonReply.NO)

    async def _ask_yes_no(self, text: str, asker: Requester, waiting: int) -> PersonReply:
        line = await self._ask(f"{_remark(asker)}{text} ({DEADLINE:.0f} s){_more(waiting)} [y/N] ", asker, hidden=False)
        return PersonReply.YES if terminal.is_yes(line) else PersonReply.NO

    async def _ask(self, text: str, asker: Requester, *, hidden: bool) -> bytes:
        """The line typed; empty, which is a no, where there is no terminal."""
        notifications.show(f"A question about {asker.remote} waits on the terminal.")
        with self._view.paused():
            try:
                return await terminal.ask_line(text, hidden=hidden)
            except UsageError as error:
                print_error(f"A question was answered with no. {error} For unattended use there is --yes.")
                return b""


MAX_ACCOUNT = 64


def _who(asker: Requester) -> str:
    return f"{datetime.now():%H:%M:%S} {asker.remote} (account {clean(asker.account, MAX_ACCOUNT)})"


def _remark(asker: Requester) -> str:
    if not asker.remark:
        return ""
    return f"The remote says, and nothing proves it: “{clean(shown_remark(asker.remark))}”.\n"


def _more(waiting: int) -> str:
    return f" [{waiting} more wait]" if waiting else ""


def show_code(console: Console, shown: str) -> None:
    """Tell the person the session code."""
    console.print(
        f"Session code [bold]{shown}[/bold]: for programs on the remote that insist on typing a PIN. "
        "Never type your PIN there.",
        highlight=False,
    )
