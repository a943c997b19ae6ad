"""The checks of ``sra doctor``: a table; each says what it found, or what is wrong and what helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sra.errors import SraError

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Finding:
    """The outcome of a check; ``command`` is what mends it, if something is wrong."""

    check: str
    ok: bool
    text: str
    command: str = ""


AS_ROOT = "sudo sra doctor"
"""The remedy where a user may not look at everything."""


class WrongError(SraError):
    """Something is wrong, and this command mends it."""

    def __init__(self, text: str, command: str = "") -> None:
        super().__init__(text)
        self.command = command


class NotHereError(SraError):
    """There is nothing to check."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """A row of the table: ``look`` returns what is right, or raises ``SraError``; ``mend`` is the usual remedy."""

    name: str
    look: Callable[[Subject], str]
    mend: Callable[[Subject], str] = lambda _: ""


def run(table: Sequence[Check[Subject]], subject: Subject) -> list[Finding]:
    """Do every check, whatever came of the others."""
    return [finding for check in table if (finding := _run(check, subject)) is not None]


def run_until_wrong(table: Sequence[Check[Subject]], subject: Subject) -> list[Finding]:
    """Do the checks up to the first that finds something wrong."""
    findings: list[Finding] = []
    for check in table:
        findings += run([check], subject)
        if findings and not findings[-1].ok:
            break
    return findings


def _run(check: Check[Subject], subject: Subject) -> Finding | None:
    try:
        return Finding(check.name, True, check.look(subject))
    except NotHereError:
        return None
    except (SraError, OSError) as error:
        return Finding(check.name, False, str(error), _command(error) or check.mend(subject))


def _command(error: SraError | OSError) -> str:
    """The command that mends it, as the error itself says."""
    if isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError):
        return AS_ROOT
    return error.command if isinstance(error, SraError) else ""
