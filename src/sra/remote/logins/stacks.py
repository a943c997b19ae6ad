"""PAM services (pam.d(5)) and the text of their stacks: with the card's lines, and without them again. No I/O.

The card is asked for first; the password is asked for when there is no card, or when the card is not one of this
account. The former lines stay in the file as comments, so that removing the block restores exactly the former text,
and keeps what others have changed around it in the meantime. A digest in the block's first line shows later edits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sra.errors import UsageError
from sra.logs import clean

_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MARK = re.compile(r"\[(?P<digest>[0-9a-f]{16})\]")

_BEGIN = "# >>> sra pam: written by “sra pam enable”, taken out by “sra pam disable”; edit around it, not in it"
_BEGIN_SIGN = _BEGIN[:13]
_END = "# <<< sra pam"
_KEPT = "#sra# "
"""The prefix of a former line that the block replaces."""

_PASSWORD = re.compile(r"(?:@include\s+(?P<whole>\S+)|-?auth\s+(?:include|substack)\s+(?P<part>\S+))\s*(?:#.*)?")
"""A line that has the password asked for by a stack that several services share."""
_SHARED = frozenset({"common-auth", "system-auth", "password-auth", "system-login"})
"""The names of those shared stacks: Debian's, Fedora's (two of them), Arch's."""
_NO_LOGIN = re.compile(r"auth\s+\S+\s+pam_nologin\.so\b.*")

_MAY_ASK = "auth [success=ignore default={}] pam_exec.so seteuid quiet {}"
"""Whether the card may be asked for: not for a login from another machine, and not if the origin is unknown. If not,
PAM goes on with the password's line or, where there is none, fails."""
_MAY_ALWAYS = "auth [default=ignore] pam_exec.so seteuid quiet {} from-network"
"""The card may be asked for wherever the login comes from."""
_CARD = "auth [success=ok authinfo_unavail=1 cred_insufficient=1 ignore=1 module_unknown=1 default=die] pam_pkcs11.so"
"""Without a card, with an unknown card or another account's, without pcscd or without the module, PAM skips one line
and asks for the password. A wrong or refused PIN fails at once: a user who is asked again immediately might type the
PIN where a password belongs."""
_ENOUGH = "auth [default=1] pam_permit.so"
"""After the card's success: skip the next line."""
_CARD_ONLY = "auth [success=ok default=die] pam_pkcs11.so"


@dataclass(frozen=True)
class Service:
    """A PAM service, by the name of its file in ``/etc/pam.d``.

    ``names_nobody``: it may begin without an account, so that the card says who logs in; then the card has to be asked
    for before pam_nologin, which would ask for a name. ``arguments`` of pam_pkcs11: ``quiet`` where each of its
    messages waits until the user presses Enter.
    """

    name: str
    what: str
    names_nobody: bool = False
    arguments: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether logins may come from other machines; false only for services known to be local."""
        return self.name not in _LOCAL


KNOWN = (
    Service("login", "the text console"),
    Service("su", "another account, with its own card"),
    Service("sudo", "commands as root"),
    Service("sudo-i", "sudo --login"),
    Service("lightdm", "the login window", names_nobody=True),
    Service("xscreensaver", "unlocking the screen", arguments=" quiet"),
    Service("polkit-1", "administration in windows, and pkexec"),
)
"""The services whose behaviour is known. Others, sshd among them, are changed only if the administrator names them."""

SESSIONS = ("login", "lightdm", "gdm-password", "sddm", "sshd")
"""The services that begin a session. The others need a session already, so they are no way into a machine."""

_LOCAL = frozenset({*(service.name for service in KNOWN), "su-l", "gdm-password", "sddm"})
"""The services for users at this machine."""


class StackState(StrEnum):
    """What a stack does with a card."""

    OFF = "off"
    CARD_OR_PASSWORD = "card or password"  # noqa: S105 - no password
    CARD_ONLY = "card only"
    EDITED = "edited by hand"


@dataclass(frozen=True)
class StackRequest:
    """The wanted change of a stack.

    ``announce``: the command that says whether the card may be asked for. ``settings``: the path of pam_pkcs11's
    settings. ``card_only``: no password. ``from_network``: the card is also asked for when a login comes from another
    machine.
    """

    service: Service
    announce: str
    settings: str
    card_only: bool = False
    from_network: bool = False


@dataclass(frozen=True)
class _Block:
    """The card's lines between ``begin`` and ``end``; 0 and 0 if the block has not exactly one of both."""

    begin: int
    end: int
    inner: tuple[str, ...]
    is_untouched: bool


def is_service_name(name: str) -> bool:
    """Whether a service may have this name."""
    return _SERVICE_NAME.fullmatch(name) is not None


def service_of(name: str) -> Service:
    """The service of this name; raise ``UsageError`` if no service may have it."""
    if not is_service_name(name):
        raise UsageError(f"“{clean(name)}” is not a PAM service. Name a file of /etc/pam.d.")
    return next((each for each in KNOWN if each.name == name), Service(name, ""))


def mark_of(lines: Iterable[str]) -> str:
    """The mark, for the line above these lines, by which a later edit is noticed."""
    # A stack may have bytes that are no UTF-8: it is read and written with surrogates in their place.
    return f"[{hashlib.sha256(chr(10).join(lines).encode(errors='surrogateescape')).hexdigest()[:16]}]"


def is_untouched(marked: str, lines: Iterable[str]) -> bool:
    """Whether the line ``marked`` has the mark of these lines."""
    found = _MARK.search(marked)
    return found is not None and found[0] == mark_of(lines)


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
    """Whether the card is also asked for when a login comes from another machine."""
    found = _block(text.split("\n"))
    return found is not None and any(line.endswith(" from-network") for line in found.inner)


def asks_origin(text: str) -> bool:
    """Whether the stack checks where a login comes from before it asks for the card; blocks of old versions do not."""
    found = _block(text.split("\n"))
    return found is None or any(" pam_exec.so " in line for line in found.inner)


def has_ours(text: str) -> bool:
    """Whether the stack has any line of this product, even in a damaged block."""
    return _block(text.split("\n")) is not None


def enabled(text: str, request: StackRequest) -> str:
    """The stack with the card's lines; raise ``UsageError`` if they can't be added safely."""
    lines = disabled(text, request.service).split("\n")
    passwords = [at for at, line in enumerate(lines) if _shared_in(line)]
    if len(passwords) != 1:
        raise UsageError(
            f"The PAM stack of {request.service.name} has {len(passwords) or 'no'} lines that include a shared stack "
            "(common-auth, system-auth), so where the card belongs is not clear. See docs/logins.md to edit it by hand."
        )
    (password,) = passwords
    before = [at for at, line in enumerate(lines[:password]) if _NO_LOGIN.fullmatch(line)]
    moved = before if request.service.names_nobody else []
    taken = sorted([*moved, password])
    card = [_CARD_ONLY] if request.card_only else [_CARD, _ENOUGH, f"auth substack {_shared_in(lines[password])}"]
    card[0] += f" config_file={request.settings}{request.service.arguments}"
    refused = "die" if request.card_only else "2"
    gate = _MAY_ALWAYS.format(request.announce) if request.from_network else _MAY_ASK.format(refused, request.announce)
    inner = [gate, *card, *(lines[at] for at in moved)]
    block = [f"{_BEGIN} {mark_of([*inner, *(lines[at] for at in taken)])}", *inner, _END]
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
            f"The lines of {service.name} between “{_BEGIN_SIGN}” and “{_END}” were edited by hand, so they were not "
            f"changed. Remove them, and “{_KEPT.strip()}” from the lines below; or restore the backup."
        )
    return "\n".join(_without(lines, found))


def put_back(text: str) -> str | None:
    """The stack without the block, even an edited one; ``None`` if no remaining line would ask for a password.

    An edit of the block may have removed former lines, and a stack that asks for nothing lets nobody in.
    """
    lines = text.split("\n")
    found = _block(lines)
    if found is None:
        return text
    rest = _without(lines, found)
    return "\n".join(rest) if found.end > found.begin and any(_shared_in(line) for line in rest) else None


def _without(lines: Sequence[str], block: _Block) -> list[str]:
    """The lines around the block, with the former lines restored, even those that were moved by hand.

    A mark of ours that was kept as a former line is removed too.
    """
    around = (*lines[: block.begin], *lines[block.end + 1 :])
    restored = [re.sub(rf"\A(?:{_KEPT})+", "", line) for line in around]
    return [line for line in restored if not line.startswith((_BEGIN_SIGN, _END))]


def _block(lines: Sequence[str]) -> _Block | None:
    """The block; one without an end, or with a second block, counts as edited."""
    begins = [at for at, line in enumerate(lines) if line.startswith(_BEGIN_SIGN)]
    ends = [at for at, line in enumerate(lines) if line.startswith(_END)]
    kept = [line.removeprefix(_KEPT) for line in lines if line.startswith(_KEPT)]
    if not begins and not ends and not kept:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        return _Block(0, 0, (), is_untouched=False)
    begin, end = begins[0], ends[0]
    inner = tuple(lines[begin + 1 : end])
    return _Block(begin, end, inner, is_untouched(lines[begin], [*inner, *kept]))


def _shared_in(line: str) -> str | None:
    """The shared stack that the line includes, if it includes one."""
    match = _PASSWORD.fullmatch(line.rstrip())
    name = (match["whole"] or match["part"]) if match else None
    return name if name in _SHARED else None
