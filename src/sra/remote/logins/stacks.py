"""The text of a PAM stack (pam.d(5)): with the card's turn in it, and without it again. No I/O.

The card goes first; the password is asked when there is no card, or not one of this account. What was there before
stays in the file as a comment, line by line, so that taking the block out leaves exactly the former text, and what
others have changed around it meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sra.errors import UsageError
from sra.remote.logins import marks
from sra.remote.logins.services import Service

_BEGIN = "# >>> sra pam: written by “sra pam enable”, taken out by “sra pam disable”; edit around it, not in it"
_END = "# <<< sra pam"
_KEPT = "#sra# "
"""Before a line that the block stands for."""

_PASSWORD = re.compile(r"(?:@include\s+(?P<whole>\S+)|-?auth\s+(?:include|substack)\s+(?P<part>\S+))\s*(?:#.*)?")
"""A line that has the password asked by a stack that several services share."""
_SHARED = frozenset({"common-auth", "system-auth", "password-auth", "system-login"})
"""Those stacks: Debian's, Fedora's (two of them), Arch's."""
_NO_LOGIN = re.compile(r"auth\s+\S+\s+pam_nologin\.so\b.*")

_MAY_ASK = "auth [success=ignore default={}] pam_exec.so seteuid quiet {}"
"""Whether the card may be asked: not for a login from another machine, and not if that can't be found out. Then go on
with the password's line or, where there is none, end."""
_MAY_ALWAYS = "auth [default=ignore] pam_exec.so seteuid quiet {} from-network"
"""The card may be asked wherever the login comes from."""
_CARD = "auth [success=ok authinfo_unavail=1 cred_insufficient=1 ignore=1 module_unknown=1 default=die] pam_pkcs11.so"
"""No card, nobody's card, another's card, no pcscd, or no module: go on with the line after the next one, which is the
password's. A wrong or refused PIN is the end: somebody who is asked again at once might type the PIN where a password
belongs."""
_ENOUGH = "auth [default=1] pam_permit.so"
"""After the card: not the next line."""
_CARD_ONLY = "auth [success=ok default=die] pam_pkcs11.so"


class StackState(StrEnum):
    """What a stack does with a card."""

    OFF = "off"
    CARD_OR_PASSWORD = "card or password"  # noqa: S105 - no password
    CARD_ONLY = "card only"
    EDITED = "edited by hand"


@dataclass(frozen=True)
class StackRequest:
    """What is to be written.

    ``announce``: the command that says whether the card may be asked. ``settings``: pam_pkcs11's file. ``card_only``:
    the password goes. ``from_network``: the card is also asked for logins from other machines.
    """

    service: Service
    announce: str
    settings: str
    card_only: bool = False
    from_network: bool = False


def state_of(text: str) -> StackState:
    """What the stack does with a card."""
    found = _block(text.split("\n"))
    if found is None:
        return StackState.OFF
    if not found.is_untouched:
        return StackState.EDITED
    has_password = any(" substack " in line for line in found.inner)
    return StackState.CARD_OR_PASSWORD if has_password else StackState.CARD_ONLY


def asks_from_network(text: str) -> bool:
    """Whether the card is asked also for logins from other machines."""
    found = _block(text.split("\n"))
    return found is not None and any(line.endswith(" from-network") for line in found.inner)


def asks_whence(text: str) -> bool:
    """Whether the stack finds out where a login comes from before the card is asked; blocks once written did not."""
    found = _block(text.split("\n"))
    return found is None or any(" pam_exec.so " in line for line in found.inner)


def enabled(text: str, wish: StackRequest) -> str:
    """The stack with the card's turn as wished; raise ``UsageError`` if that can't be done safely."""
    lines = disabled(text, wish.service).split("\n")
    password = _only(lines, wish.service)
    before = [at for at, line in enumerate(lines[:password]) if _NO_LOGIN.fullmatch(line)]
    moved = before if wish.service.names_nobody else []
    taken = sorted([*moved, password])
    inner = _inner(_shared_in(lines[password]) or "", wish, [lines[at] for at in moved])
    block = [f"{_BEGIN} {marks.mark_of([*inner, *(lines[at] for at in taken)])}", *inner, _END]
    kept = [f"{_KEPT}{line}" if at in taken else line for at, line in enumerate(lines)]
    return "\n".join([*kept[: taken[0]], *block, *kept[taken[0] :]])


def disabled(text: str, service: Service) -> str:
    """The stack as it was without the card; raise ``UsageError`` if the block was edited by hand."""
    lines = text.split("\n")
    found = _block(lines)
    if found is None:
        return text
    if not found.is_untouched:
        raise UsageError(
            f"The lines of {service.name} between “{_BEGIN[:13]}” and “{_END}” were edited by hand, so they are left "
            f"alone. Take them out yourself, and “{_KEPT.strip()}” from the lines below; or put the backup back."
        )
    return "\n".join(_without(lines, found))


def has_ours(text: str) -> bool:
    """Whether there is any line of ours in the stack, whatever its state."""
    return _block(text.split("\n")) is not None


def put_back(text: str) -> str | None:
    """The stack without the block, also where that was edited; ``None`` if nothing in it would ask for a password.

    Who edits the block may have taken from it what was there before, and a stack that asks nothing lets nobody in.
    """
    lines = text.split("\n")
    found = _block(lines)
    if found is None:
        return text
    rest = _without(lines, found)
    return "\n".join(rest) if found.is_whole and any(_shared_in(line) for line in rest) else None


def _without(lines: Sequence[str], block: _Block) -> list[str]:
    """The other lines, and those that the block stands for as they were, also where they were moved by hand.

    A mark of ours that was kept as though it had been there before goes too.
    """
    restored = (_restored(line) for line in (*lines[: block.begin], *lines[block.end + 1 :]))
    return [line for line in restored if not line.startswith((_BEGIN[:13], _END))]


def _restored(line: str) -> str:
    while line.startswith(_KEPT):
        line = line.removeprefix(_KEPT)
    return line


@dataclass(frozen=True)
class _Block:
    begin: int
    end: int
    inner: tuple[str, ...]
    is_untouched: bool

    @property
    def is_whole(self) -> bool:
        """Whether it has one beginning and one end."""
        return self.end > self.begin


def _block(lines: Sequence[str]) -> _Block | None:
    """Where the block is; one that has lost its end, or has company, counts as edited."""
    begins = [at for at, line in enumerate(lines) if line.startswith(_BEGIN[:13])]
    ends = [at for at, line in enumerate(lines) if line.startswith(_END)]
    kept = [line.removeprefix(_KEPT) for line in lines if line.startswith(_KEPT)]
    if not begins and not ends and not kept:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        return _Block(0, 0, (), is_untouched=False)
    begin, end = begins[0], ends[0]
    inner = tuple(lines[begin + 1 : end])
    return _Block(begin, end, inner, marks.is_untouched(lines[begin], [*inner, *kept]))


def _only(lines: Sequence[str], service: Service) -> int:
    """Which line has the password asked; raise ``UsageError`` unless there is exactly one."""
    found = [at for at, line in enumerate(lines) if _shared_in(line)]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"The PAM stack of {service.name} has {len(found) or 'no'} lines that include a shared stack "
        "(common-auth, system-auth), so where the card belongs is not clear. See docs/logins.md for doing it by hand."
    )


def _shared_in(line: str) -> str | None:
    match = _PASSWORD.fullmatch(line.rstrip())
    name = (match["whole"] or match["part"]) if match else None
    return name if name in _SHARED else None


def _inner(shared: str, wish: StackRequest, moved: Sequence[str]) -> list[str]:
    card = [_CARD_ONLY] if wish.card_only else [_CARD, _ENOUGH, f"auth substack {shared}"]
    card[0] += f" config_file={wish.settings}{wish.service.arguments}"
    refused = "die" if wish.card_only else "2"
    gate = _MAY_ALWAYS.format(wish.announce) if wish.from_network else _MAY_ASK.format(refused, wish.announce)
    return [gate, *card, *moved]
