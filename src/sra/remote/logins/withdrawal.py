"""Leave the machine's logins as they were before ``sra pam enable``: one by one, or all before the product goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sra.errors import UsageError
from sra.remote.logins import pam_pkcs11, refresh
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import Service
from sra.remote.logins.watch import remove_units
from sra.system import files

TellPerson = Callable[[str], None]
"""Tells the user what was done, or could not be done."""


def disable(login: LoginPaths, services: Sequence[Service], note: TellPerson) -> None:
    """Take the card's lines out of these stacks, or of all; a stack that was edited by hand stays.

    Raises ``UsageError`` if there was an edited one, after all the others are done.
    """
    stacks = StackFiles(login)

    def disable_one(service: Service) -> str:
        return "is as it was" if stacks.disable(service) else "did not ask for a card"

    problems = _each(services or stacks.ours(), disable_one, note)
    if refresh.is_enabled(login) and not stacks.ours():
        withdraw(login, note)
    if problems:
        raise UsageError(problems)


def put_back(login: LoginPaths, note: TellPerson) -> bool:
    """Leave every login as it was before, even if it was edited by hand; whether there was anything to do.

    Raises ``UsageError`` if a stack can't be restored, after all the others are done; then nothing else is removed.
    """
    stacks = StackFiles(login)
    wanted = stacks.ours()
    if not (wanted or refresh.is_enabled(login) or login.former_configuration.exists()):
        return False

    def put_back_one(service: Service) -> str:
        edited = stacks.put_back(service)
        return (
            f"is as it was before; it was edited by hand, and the edited file is in {edited}"
            if edited
            else "is as it was"
        )

    problems = _each(wanted, put_back_one, note)
    if problems:
        raise UsageError(problems)
    withdraw(login, note)
    return True


def withdraw(login: LoginPaths, note: TellPerson) -> None:
    """Remove everything that only the login needs; move edited settings of ours aside."""
    if login.root == Path("/"):
        remove_units(note)  # first: otherwise they would make the login's files again
    for path in (login.configuration, login.default_configuration):
        # Edited settings would name files that are gone, so they can't stay where they are.
        content = files.read(path, refresh.MAX_FILE)
        if content is not None and pam_pkcs11.is_edited(content.data.decode(errors="replace")):
            edited = login.keep_edited(str(path.relative_to(login.ours.parent)), content.data)
            note(f"{path} was edited by hand, and the edited file is in {edited}")
    _restore_default(login)
    login.remove_ours()


def _restore_default(login: LoginPaths) -> None:
    """Restore the default settings that a former version has replaced; settings of others stay."""
    text = refresh.text_of(login.default_configuration)
    former = files.read(login.former_configuration, refresh.MAX_FILE)
    if not text or pam_pkcs11.is_ours(text):
        if former is not None:
            files.replace(login.default_configuration, former.data, 0o644)
        else:
            login.default_configuration.unlink(missing_ok=True)
    login.former_configuration.unlink(missing_ok=True)


def _each(services: Sequence[Service], do: Callable[[Service], str], note: TellPerson) -> str:
    """Do it for all of them, and tell the outcomes; the problems in one text, empty if there were none."""
    problems = []
    for service in services:
        try:
            note(f"{service.name} {do(service)}")
        except UsageError as error:
            problems.append(str(error))
    return " ".join(problems)
