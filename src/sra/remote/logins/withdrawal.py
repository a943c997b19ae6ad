"""Leave the machine's logins as they were before ``sra pam enable``: one by one, or all before the product goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sra.errors import UsageError
from sra.remote.logins import marks
from sra.remote.logins import pam_pkcs11 as settings
from sra.remote.logins import refresh as logins
from sra.remote.logins import units as login_units
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.services import Service
from sra.remote.logins.stack_files import StackFiles
from sra.system import files

TellPerson = Callable[[str], None]
"""Tells the person what was done, or could not be."""


def disable(login: LoginPaths, services: Sequence[Service], note: TellPerson) -> None:
    """Take the card's turn out of these stacks, or of all; what was edited by hand stays.

    Raises ``UsageError`` if there was one such, after all the others are done.
    """
    stacks = StackFiles(login)

    def one(service: Service) -> str:
        return "is as it was" if stacks.disable(service) else "did not ask for a card"

    problems = _each(services or stacks.ours(), one, note)
    if logins.is_enabled(login) and not stacks.ours():
        _end_watching(login, note)
        withdraw(login, note)
    _raise(problems)


def put_back(login: LoginPaths, note: TellPerson) -> bool:
    """Leave every login as it was before, also what was edited by hand; whether there was anything.

    Raises ``UsageError`` if a stack can't be, after all the others are done; then nothing else is removed.
    """
    stacks = StackFiles(login)
    wanted = stacks.ours()
    if not (wanted or logins.is_enabled(login) or login.former_configuration.exists()):
        return False

    def one(service: Service) -> str:
        edited = stacks.put_back(service)
        return f"is as it was before; it was edited by hand, which is kept in {edited}" if edited else "is as it was"

    _raise(_each(wanted, one, note))
    _end_watching(login, note)
    withdraw(login, note)
    return True


def withdraw(login: LoginPaths, note: TellPerson) -> None:
    """Remove what only the login needs; settings of ours that were edited are kept aside."""
    for path in (login.configuration, login.default_configuration):
        _keep_if_edited(login, path, note)
    _restore_default(login)
    login.remove_ours()


def _keep_if_edited(login: LoginPaths, path: Path, note: TellPerson) -> None:
    """Settings of ours that were edited would name files that are gone: they are kept elsewhere."""
    content = files.read(path, logins.MAX_FILE)
    if content is not None and marks.is_edited(settings.HEAD, content.data.decode(errors="replace")):
        edited = login.keep_edited(str(path.relative_to(login.ours.parent)), content.data)
        note(f"{path} was edited by hand, which is kept in {edited}")


def _restore_default(login: LoginPaths) -> None:
    """The default settings as they were, where a former version has put ours; what others have put there stays."""
    text = logins.text_of(login.default_configuration)
    former = files.read(login.former_configuration, logins.MAX_FILE)
    if not text or marks.is_signed(settings.HEAD, text):
        if former is not None:
            files.replace(login.default_configuration, former.data, 0o644)
        else:
            login.default_configuration.unlink(missing_ok=True)
    login.former_configuration.unlink(missing_ok=True)


def _end_watching(login: LoginPaths, note: TellPerson) -> None:
    """First: what makes the login's files anew would do so once more."""
    if login.root == Path("/"):
        login_units.remove(note)


def _each(services: Sequence[Service], do: Callable[[Service], str], note: TellPerson) -> list[str]:
    """Do it for all of them, and tell what came of it; what went wrong."""
    problems = []
    for service in services:
        try:
            note(f"{service.name} {do(service)}")
        except UsageError as error:
            problems.append(str(error))
    return problems


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise UsageError(" ".join(problems))
