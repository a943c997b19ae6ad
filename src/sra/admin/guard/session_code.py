"""The session code: what a person types on the remote in place of the PIN, for programs that insist on typing.

It is shown only on the admin's side, and worth nothing anywhere else or later. Wrong entries are counted here; they
never reach the card.
"""

from __future__ import annotations

import hmac
import secrets

DIGITS = 8
"""As many as a PIN may have (SP 800-73-4 part 2, section 2.4.3)."""
TRIES = 3
"""Wrong entries before key use is closed. A remote that can have a new start by breaking the link gets no new ones."""


class SessionCode:
    """One code, for as long as the command or the app runs."""

    def __init__(self) -> None:
        self._code = _new_code()
        self.tries = TRIES

    def __repr__(self) -> str:
        """Without the code."""
        return f"SessionCode(tries={self.tries})"

    @property
    def shown(self) -> str:
        """As it is shown to the person: two groups of four."""
        return f"{self._code[:4]} {self._code[4:]}"

    @property
    def is_open(self) -> bool:
        """Whether a right code still opens anything."""
        return self.tries > 0

    def matches(self, typed: bytes) -> bool:
        """Whether ``typed`` is the code, in constant time."""
        return hmac.compare_digest(typed, self._code.encode())

    def count(self, *, right: bool) -> None:
        """Count what was typed, code or PIN: a wrong one costs a try, a right one gives them back."""
        self.tries = TRIES if right else max(self.tries - 1, 0)

    def renew(self) -> None:
        """Another code; what was typed wrong still counts."""
        self._code = _new_code()

    def reopen(self) -> None:
        """The person allows typing again, with a new code: the old one may be known by now."""
        self.renew()
        self.tries = TRIES


def _new_code() -> str:
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
