"""``sra pam``: let this machine's own logins take the card (docs/logins.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from sra.cli.console.options import AsJson, Root, examples
from sra.cli.console.output import print_json, print_note, print_table
from sra.config import load_daemon_config
from sra.errors import UsageError
from sra.paths import Paths
from sra.remote.logins import card_removal, lockout, reader_access
from sra.remote.logins import refresh as logins
from sra.remote.logins import units as login_units
from sra.remote.logins import withdrawal as logins_undo
from sra.remote.logins.login_paths import ANNOUNCE, MODULE, OPENSC, PAM_MODULES, LoginPaths
from sra.remote.logins.services import Service, service_of
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import StackRequest, StackState
from sra.system import files

AUTOSTART = """\
# Written by “sra pam enable”, removed by “sra pam disable”; what it does: [login] on_removal in /etc/sra/srad.toml
[Desktop Entry]
Type=Application
Name=Secure Remote Access: removal of the card
Exec={command}
NoDisplay=true
"""

app = typer.Typer(help="The remote's logins: which of them take the card.", no_args_is_help=True)

Services = Annotated[list[str], typer.Argument(metavar="SERVICE…", help="su, sudo, login, lightdm, xscreensaver, …")]


@app.command(epilog=examples("sra pam enable su sudo lightdm", "sra pam enable --card-only sudo"))
def enable(
    services: Services,
    *,
    card_only: Annotated[bool, typer.Option("--card-only", help="No password any more.")] = False,
    from_network: Annotated[
        bool, typer.Option("--from-network", help="Also for logins from other machines: read docs/logins.md first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Even if that locks out whoever has no card.")] = False,
    root: Root = Path("/"),
) -> None:
    """Have these services ask for the card first, and for the password when there is none (as root)."""
    paths, login = Paths(root), LoginPaths(root)
    announce = _check_modules(login)
    logins.check_module(login)
    stacks = StackFiles(login)
    wanted = [service_of(name) for name in services]
    is_first = not logins.is_enabled(login)
    config = load_daemon_config(paths.config)
    logins.write(paths, login, config)
    try:
        if card_only:
            lockout.check(login, stacks, wanted, yes=yes)
        command, file = f"{announce} {login.named(paths.announce)}", login.named(login.configuration)
        _enable(stacks, [StackRequest(service, command, file, card_only, from_network) for service in wanted])
    except UsageError:
        if is_first and not _enabled(stacks):
            logins_undo.withdraw(login, print_note)
        raise
    logins.write(paths, login, config)
    _write_autostart(login)
    _note_network(wanted, from_network=from_network)
    note_kept_out(root, logins.mapped_accounts(login))
    if root == Path("/"):
        login_units.install(print_note)


@app.command(epilog=examples("sra pam disable su", "sra pam disable  (all of them)"))
def disable(
    services: Annotated[list[str] | None, typer.Argument(metavar="[SERVICE…]", help="Without: all.")] = None,
    *,
    root: Root = Path("/"),
) -> None:
    """Leave these services as they were before “sra pam enable” (as root)."""
    logins_undo.disable(LoginPaths(root), [service_of(name) for name in services or ()], print_note)


@app.command(epilog=examples("sra pam status", "sra pam status --json"))
def status(*, as_json: AsJson = False, root: Root = Path("/")) -> None:
    """Show which services take the card."""
    states = StackFiles(LoginPaths(root)).states()
    if as_json:
        print_json({service.name: state for service, state in states.items()})
        return
    rows = [(service.name, state, service.what) for service, state in states.items()]
    print_table(("SERVICE", "TAKES", "FOR"), rows, "This machine has no PAM services that are known here.")


def note_kept_out(root: Path, accounts: Iterable[str]) -> None:
    """Tell of each of these accounts that sees no card in this machine's readers."""
    for account in reader_access.kept_out(root, accounts):
        print_note(f"note: {reader_access.advice([account])}. Run: {reader_access.remedy([account])}")


@app.command("watch-removal", epilog=examples("sra pam watch-removal"))
def watch_removal(*, root: Root = Path("/")) -> None:
    """Lock or end this session when its person's card is out ([login] on_removal in srad.toml). Runs until killed."""
    card_removal.watch(root)


def _enable(stacks: StackFiles, wishes: Sequence[StackRequest]) -> None:
    """All of them or, if one can't be, none: what could be wrong is looked at before anything is written."""
    for wish in wishes:
        stacks.check(wish)
    for wish in wishes:
        takes = "the card only" if wish.card_only else "the card, or the password"
        changed = "" if stacks.enable(wish) else " already"
        print_note(f"{wish.service.name} takes {takes}{changed}")


def _enabled(stacks: StackFiles) -> list[Service]:
    return [service for service, state in stacks.states().items() if state is not StackState.OFF]


def _check_modules(login: LoginPaths) -> str:
    """What announces a login; raise ``UsageError`` where something is missing that every login would then wait for."""
    if login.first(PAM_MODULES) is None:
        raise UsageError("pam_pkcs11 is missing. Run: apt-get install libpam-pkcs11")
    if login.first(OPENSC) is None:
        raise UsageError("OpenSC's module is missing. Run: apt-get install opensc-pkcs11")
    announce = login.program(ANNOUNCE)
    if announce is None or login.program(MODULE) is None:
        raise UsageError(f"{ANNOUNCE} or {MODULE} is missing. Run: make -C reader install")
    return announce


def _note_network(services: Sequence[Service], *, from_network: bool) -> None:
    """Say what a service that others reach means for the person who has the card."""
    reached = ", ".join(service.name for service in services if service.is_reached)
    if from_network:
        names = ", ".join(service.name for service in services)
        print_note(
            f"warning: whoever reaches {names} over the network can have the card's PIN asked for. The question names "
            "the host; refuse those that you did not begin yourself"
        )
    elif reached:
        print_note(
            f"warning: {reached}: logins from other machines are not asked for the card, since whoever reaches this "
            "service could have the PIN asked for. To ask all the same: sra pam enable --from-network"
        )


def _write_autostart(login: LoginPaths) -> None:
    """Have every session watch for its card; one that has none waits and does nothing."""
    command = f"{Path(sys.executable).parent / 'sra'} pam watch-removal"
    files.make_folder(login.autostart.parent, 0o755)
    files.replace(login.autostart, AUTOSTART.format(command=command).encode(), 0o644)
