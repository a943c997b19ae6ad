"""Which accounts may come in: ``allow`` and ``deny`` list account names and ``@group`` names; ``deny`` has priority."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass

from sra.errors import SraError

_GROUP_SIGN = "@"


class UnknownGroupError(SraError):
    """A denied group can't be found, so its members are unknown."""


@dataclass(frozen=True)
class AccountVerdict:
    """Whether the account may come in, and which word of which list says so."""

    is_allowed: bool
    reason: str


@dataclass(frozen=True)
class AccountRules:
    """The two lists; ``allow=None`` lets in every account that is not in ``deny``."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()

    def judge(self, account: str) -> AccountVerdict:
        """Whether the account may come in; raise ``UnknownGroupError`` if a group of ``deny`` can't be found.

        Blocks: it asks the machine's name services for groups.
        """
        if (word := _first(self.deny, account, is_strict=True)) is not None:
            return AccountVerdict(is_allowed=False, reason=f"deny has {word}")
        if self.allow is None:
            return AccountVerdict(is_allowed=True, reason="not in deny" if self.deny else "no rule")
        if (word := _first(self.allow, account, is_strict=False)) is not None:
            return AccountVerdict(is_allowed=True, reason=f"allow has {word}")
        return AccountVerdict(is_allowed=False, reason="not in allow")

    def names(self, account: str) -> bool:
        """Whether ``allow`` names this account itself, not only one of its groups."""
        return account in (self.allow or ())


ANYBODY = AccountRules()
"""The rules if none are configured."""


def _first(words: tuple[str, ...], account: str, *, is_strict: bool) -> str | None:
    """The first word that is the account or a group of it; ``is_strict``: every group has to exist."""
    if account in words:
        return account
    groups = [word for word in words if word.startswith(_GROUP_SIGN)]
    if not groups:
        return None
    numbers = _groups_of(account)
    return next((word for word in groups if _number(word, is_strict=is_strict) in numbers), None)


def _groups_of(account: str) -> frozenset[int]:
    """The numbers of the account's groups, its primary group included."""
    return frozenset(os.getgrouplist(account, pwd.getpwnam(account).pw_gid))


def _number(word: str, *, is_strict: bool) -> int | None:
    name = word.removeprefix(_GROUP_SIGN)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        if is_strict:
            raise UnknownGroupError(f"deny has {word}, but this machine knows no group {name}") from error
        return None
