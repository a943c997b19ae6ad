"""What a directory is to the rest: something that can be asked which accounts have an attribute with a value."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol

from sra.errors import SraError
from sra.identity.certificates import CardCertificate

MAX_ANSWERS = 1024
"""Answers that are kept: more people than come to one machine within a minute."""

Accounts = frozenset[str]


class DirectoryError(SraError):
    """The directory didn't answer, or not in a way that could be relied on; the text is for the log."""


class Directory(Protocol):
    """Accounts and their attributes."""

    @property
    def name(self) -> str:
        """What its administrators call it."""

    async def find(self, attribute: str, value: str) -> Accounts:
        """The accounts whose attribute (by its LDAP name) has exactly this value; raise ``SraError`` if unknown."""


class CertificateDirectory(Protocol):
    """Accounts that are found by a certificate as a whole."""

    @property
    def name(self) -> str:
        """What its administrators call it."""

    @property
    def goes_by_names(self) -> bool:
        """Whether the names in a certificate may be enough, so that an authority has to vouch for them."""

    async def find_certificate(self, card: CardCertificate) -> Accounts:
        """The accounts that have this certificate; raise ``SraError`` if unknown."""


class AnswerCache:
    """Answers, kept for ``seconds``, or for ``unknown_seconds`` when nobody was found; errors are never kept."""

    def __init__(self, seconds: float, unknown_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._unknown_seconds = unknown_seconds
        self._clock = clock
        self._answers: OrderedDict[Hashable, tuple[float, Accounts]] = OrderedDict()

    async def answer(self, question: Hashable, ask: Callable[[], Awaitable[Accounts]]) -> Accounts:
        """The answer that is still good, or what ``ask`` says."""
        known = self._answers.get(question)
        if known is not None and self._clock() < known[0]:
            return known[1]
        self._answers.pop(question, None)
        accounts = await ask()
        good_for = self._seconds if accounts else self._unknown_seconds
        self._answers[question] = (self._clock() + good_for, accounts)
        while len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return accounts
