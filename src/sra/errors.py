"""What can go wrong, and whose move it is.

Every error descends from ``SraError``. ``ProtocolError``: the peer broke a rule, close. ``RefusedError``: the other
side, or a rule, said no: show it. ``CardError``: the card or its reader. ``LinkError``: the network. The text of each
is made for the user who reads it and names the next step; it never holds a PIN, a password or a key block.
"""

from __future__ import annotations

from enum import StrEnum


class RefusalCode(StrEnum):
    """Why something was refused (docs/wire-protocol.md, "Refusals")."""

    VERSION = "version"
    BUSY = "busy"
    CERTIFICATE = "certificate"
    PROOF = "proof"
    EXPIRED = "expired"
    UNTRUSTED = "untrusted"
    USAGE = "usage"
    REVOKED = "revoked"
    REVOCATION_UNKNOWN = "revocation-unknown"
    NOT_PAIRED = "not-paired"
    LICENSE = "license"
    NO_READER = "no-reader"
    NOT_INSERTED = "not-inserted"
    NO_SCREEN = "no-screen"
    NOT_ALLOWED = "not-allowed"
    PIN_NEEDED = "pin-needed"
    CARD = "card"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


class SraError(Exception):
    """Anything that this product can tell a user about."""

    command = ""
    """What mends it, where one command does."""


class ProtocolError(SraError):
    """The peer broke a rule: the connection has to be closed."""


class RefusedError(SraError):
    """Something was refused, for a reason that may be shown."""

    def __init__(self, code: RefusalCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class LinkError(SraError):
    """The other machine can't be reached, or the link to it broke."""


class IdentityChangedError(SraError):
    """The remote shows another TLS identity than the one that is remembered."""

    def __init__(self, text: str, remembered: str, shown: str) -> None:
        super().__init__(text)
        self.remembered = remembered
        self.shown = shown


class UntrustedRemoteError(SraError):
    """The remote was reached, but nothing says that it is the one that was meant."""


class UsageError(SraError):
    """The user's request can't be done as asked; the text says what can."""


class CardError(SraError):
    """The card, or the reader it should be in."""


class NoReaderError(CardError):
    """There is no smart card reader."""


class NoCardError(CardError):
    """There is no card in the reader."""


class NotPivError(CardError):
    """There is a card, but not a PIV card."""


class CardBusyError(CardError):
    """Another program holds the card."""


class CardRemovedError(CardError):
    """The card was taken out."""


class KeyMissingError(CardError):
    """The card has no such key, or can't do that with it."""


class PinNeededError(CardError):
    """The card wants its PIN first (status word 6982)."""


class PinWrongError(CardError):
    """The PIN was wrong; ``text`` is for cards that don't tell how many tries are left."""

    def __init__(self, attempts_remaining: int, text: str = "") -> None:
        tries = "1 try is" if attempts_remaining == 1 else f"{attempts_remaining} tries are"
        super().__init__(text or f"The PIN is wrong; {tries} left before the card blocks it.")
        self.attempts_remaining = attempts_remaining


class PinUnfitError(CardError):
    """What was given can be no PIN of this card, and has cost no try."""


class PinBlockedError(CardError):
    """No tries are left (status word 6983)."""

    def __init__(self) -> None:
        super().__init__("The card's PIN is blocked; its issuer can unblock it with the PUK.")


class PukWrongError(CardError):
    """The PUK was wrong; ``text`` is for cards that don't tell how many tries are left."""

    def __init__(self, attempts_remaining: int, text: str = "") -> None:
        tries = "1 try is" if attempts_remaining == 1 else f"{attempts_remaining} tries are"
        super().__init__(text or f"The PUK is wrong; {tries} left before the card blocks it for ever.")
        self.attempts_remaining = attempts_remaining


class PukBlockedError(CardError):
    """No tries of the PUK are left either."""

    def __init__(self) -> None:
        super().__init__("The card's PUK is blocked too, so its PIN can't be unblocked; ask the card's issuer.")
