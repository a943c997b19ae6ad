"""A PKCS#11 module, loaded once in a process and used by one thread, and what its return codes mean to the user.

The library starts a module without asking it to do locks, so no second thread may call it, however many cards there are
behind it (PKCS#11 v2.40, section 5.4).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

import pkcs11
from pkcs11 import TokenFlag

from sra.cards.base import CardThread
from sra.errors import (
    CardBusyError,
    CardError,
    CardRemovedError,
    KeyMissingError,
    PinBlockedError,
    PinNeededError,
    PinWrongError,
    PukBlockedError,
    PukWrongError,
    UsageError,
)

USUAL_TRIES = 3
LOW_TRIES = 2
"""PKCS#11 does not tell the tries, only that the last one or that all is well: so much is said for what is between."""

_REMOVED = "The card was taken out; put it in again."
_PIN_UNSUITABLE = "The card does not take that as a PIN: it is too long, too short, or too easy."
_NO_MECHANISM = "The card has no such algorithm."

_ERRORS: dict[type[pkcs11.PKCS11Error], tuple[type[CardError | UsageError], str]] = {
    pkcs11.UserNotLoggedIn: (PinNeededError, "The card wants its PIN first."),
    pkcs11.FunctionCancelled: (PinNeededError, "The PIN was refused, or not typed in time."),
    pkcs11.UserAlreadyLoggedIn: (CardBusyError, "This program uses the card already; end that, and try again."),
    pkcs11.AnotherUserAlreadyLoggedIn: (CardBusyError, "This program uses the card already; end that, and try again."),
    pkcs11.SessionReadOnlyExists: (CardBusyError, "This program uses the card already; end that, and try again."),
    pkcs11.UserPinNotInitialized: (CardError, "The card has no PIN yet; set one with its maker's program."),
    pkcs11.PinExpired: (CardError, "The card's PIN has expired; change it: sra card change-pin."),
    pkcs11.PinInvalid: (UsageError, _PIN_UNSUITABLE),
    pkcs11.PinLenRange: (UsageError, _PIN_UNSUITABLE),
    pkcs11.PinTooWeak: (UsageError, _PIN_UNSUITABLE),
    pkcs11.TokenNotPresent: (CardRemovedError, _REMOVED),
    pkcs11.DeviceRemoved: (CardRemovedError, _REMOVED),
    pkcs11.SessionHandleInvalid: (CardRemovedError, _REMOVED),
    pkcs11.SessionClosed: (CardRemovedError, _REMOVED),
    pkcs11.SlotIDInvalid: (CardRemovedError, _REMOVED),
    pkcs11.MechanismInvalid: (KeyMissingError, _NO_MECHANISM),
    pkcs11.FunctionNotSupported: (KeyMissingError, _NO_MECHANISM),
    pkcs11.EncryptedDataInvalid: (CardError, "The card can't decrypt that."),
    pkcs11.EncryptedDataLenRange: (CardError, "The card can't decrypt that."),
}


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Errors of the module become ``CardError`` (or ``UsageError`` for a PIN that can't be one)."""
    try:
        yield
    except pkcs11.PKCS11Error as error:
        kind, text = _ERRORS.get(type(error), (CardError, ""))
        # The return code's name: only the library's words, never what was worked on.
        name = type(error).__name__ if type(error) is not pkcs11.PKCS11Error else str(error)[:80]
        raise kind(text or f"The PKCS#11 module failed ({name}); take the card out and put it in again.") from error


def tries_left(flags: TokenFlag) -> int:
    """The PIN tries left, as far as the flags of the card tell; 0 when it is locked."""
    if flags & TokenFlag.USER_PIN_LOCKED:
        return 0
    if flags & TokenFlag.USER_PIN_FINAL_TRY:
        return 1
    return LOW_TRIES if flags & TokenFlag.USER_PIN_COUNT_LOW else USUAL_TRIES


def wrong_pin(flags: TokenFlag, left: int) -> CardError:
    """The error of a PIN that was wrong, with the flags after it; ``left`` is an estimate where they don't tell."""
    if flags & TokenFlag.USER_PIN_LOCKED:
        return PinBlockedError()
    return PinWrongError(1) if flags & TokenFlag.USER_PIN_FINAL_TRY else PinWrongError(left, _untold("PIN"))


def wrong_puk(flags: TokenFlag) -> CardError:
    """The error of a PUK (here: the security officer's PIN) that was wrong."""
    if flags & TokenFlag.SO_PIN_LOCKED:
        return PukBlockedError()
    return PukWrongError(1) if flags & TokenFlag.SO_PIN_FINAL_TRY else PukWrongError(LOW_TRIES, _untold("PUK"))


def _untold(what: str) -> str:
    return f"The {what} is wrong; this card does not tell how many tries are left before it blocks it."


T = TypeVar("T")


class Module:
    """A module; ``module_at`` makes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = CardThread(f"PKCS#11 module {path.name}")

    async def run(self, job: Callable[[], T]) -> T:
        """What ``job`` returns, done in the module's thread; raise ``CardError``, or ``UsageError`` for a PIN."""

        def work() -> T:
            with understood():
                return job()

        return await self._thread.run(work)

    def slots(self) -> list[pkcs11.Slot]:
        """In the module's thread: where there are cards now; raise ``CardError`` if it can't be loaded."""
        if not self.path.is_file():
            raise CardError(f"There is no PKCS#11 module {self.path}; give the path of its file.")
        try:
            library = pkcs11.lib(str(self.path))
        except pkcs11.PKCS11Error as error:
            raise CardError(f"{self.path} can't be used as a PKCS#11 module: {error}") from error
        return library.get_slots(token_present=True)


@cache
def module_at(path: Path) -> Module:
    """The module in that file, the same one each time."""
    return Module(path)
