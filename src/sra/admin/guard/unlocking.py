"""The PIN at connect: asked once, and again when a link was away for longer than the person allowed."""

from __future__ import annotations

from sra.admin.guard.lending import LentCard
from sra.admin.guard.questions import PersonReply, PinGiven, PinQuestion, Requester
from sra.errors import (
    CardError,
    PinBlockedError,
    PinNeededError,
    PinUnfitError,
    PinWrongError,
    RefusalCode,
    RefusedError,
)
from sra.logs import clean

RESUME_WITHIN = 120.0
"""Seconds for which a link may be away without the PIN being asked again."""


class Unlocking:
    """Has the lender's card unlocked by its PIN when a connection needs it."""

    def __init__(self, lender: LentCard, resume_within: float = RESUME_WITHIN) -> None:
        self._lender = lender
        self._resume_within = resume_within
        self._unlocked = False
        self._account = ""

    def check_account(self, account: str) -> None:
        """The PIN was given for the account that the first link led to; raise ``RefusedError`` if it is another now."""
        if self._account and account != self._account:
            text = f"The remote says “{clean(account)}” is your account now, and said “{self._account}” before."
            raise RefusedError(RefusalCode.NOT_ALLOWED, f"{text} Connect anew if that is right.")
        self._account = account

    async def was_away(self, seconds: float) -> None:
        """A link was away for so long: past the window all is asked again, and the code is another."""
        if seconds > self._resume_within and self._unlocked:
            self._unlocked = False
            self._lender.code.renew()
            self._lender.memory.forget()
            await self._lender.card.lock()

    async def unlock(self, remote: str, *, again: bool = False) -> None:
        """Return when the card has taken the PIN; at once if it has before, unless it wants it ``again``.

        Raises ``PinNeededError`` if the person gives none, ``PinWrongError``, ``PinBlockedError`` or ``CardError``.
        """
        if self._unlocked and not again:
            return
        kept = self._lender.memory.kept()
        if again and kept:
            await self._verify(kept)
        else:
            await self._ask_until_right(Requester(remote, account=""))
        self._unlocked = True

    async def _ask_until_right(self, asker: Requester) -> None:
        wrong: CardError | None = None
        while True:
            remaining = await self._lender.card.attempts_remaining()
            if remaining == 0:
                raise PinBlockedError
            given = await self._ask(asker, remaining)
            if given.reply is not PersonReply.YES:
                raise wrong or PinNeededError("The PIN was not given, so nothing was connected.")
            try:
                await self._take(given.pin)
            except (PinWrongError, PinUnfitError) as error:
                wrong = error
            else:
                return

    async def _ask(self, asker: Requester, remaining: int) -> PinGiven:
        lender = self._lender
        lender.queue.begin_anew()  # this one is our own, whatever a remote has asked in vain
        question = PinQuestion(asker, lender.card.name, remaining, kept=False, pad=lender.card.has_pin_pad)
        return await lender.queue.ask(
            lambda waiting: lender.person.ask_pin(question, waiting), PinGiven(PersonReply.UNANSWERED)
        )

    async def _take(self, pin: bytes) -> None:
        if not pin and self._lender.card.has_pin_pad:
            await self._lender.card.verify_on_pad()
            return
        await self._verify(pin)

    async def _verify(self, pin: bytes) -> None:
        try:
            await self._lender.card.verify_pin(pin)
        except (PinWrongError, PinBlockedError):
            self._lender.memory.learn_wrong(pin)
            raise
        self._lender.memory.learn_right(pin)
