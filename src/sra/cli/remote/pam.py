"""``sra pam``: let this machine's own logins take the card (docs/logins.md)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sra.cli.console.options import AsJson, Root, examples
from sra.cli.console.output import print_json, print_note, print_table
from sra.paths import Paths
from sra.remote.logins import card_removal, enabling, withdrawal
from sra.remote.logins.login_paths import LoginPaths
from sra.remote.logins.refresh import mapped_accounts
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import service_of

app = typer.Typer(help="The remote's logins: which of them take the card.", no_args_is_help=True)

Services = Annotated[list[str], typer.Argument(metavar="SERVICE…", help="su, sudo, login, lightdm, xscreensaver, …")]


@app.command(epilog=examples("sra pam enable su sudo lightdm", "sra pam enable --card-only sudo"))
def enable(
    services: Services,
    *,
    card_only: Annotated[bool, typer.Option("--card-only", help="Take no password any more.")] = False,
    from_network: Annotated[
        bool, typer.Option("--from-network", help="Also for logins from other machines: read docs/logins.md first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Even if this locks out users who have no card.")] = False,
    root: Root = Path("/"),
) -> None:
    """Have these services ask for the card first, and for the password when there is none (as root)."""
    wanted = [service_of(name) for name in services]
    enabling.enable(Paths(root), wanted, print_note, card_only=card_only, from_network=from_network, may_lock_out=yes)
    reached = ", ".join(service.name for service in wanted if service.is_reached)
    if from_network:
        names = ", ".join(service.name for service in wanted)
        print_note(
            f"warning: everyone who reaches {names} over the network can make it ask for the card's PIN. The question "
            "names the host; refuse every question that you did not cause yourself"
        )
    elif reached:
        print_note(
            f"warning: {reached}: logins from other machines are not asked for the card, since everyone who reaches "
            "this service could make it ask for the PIN. To ask them too: sra pam enable --from-network"
        )
    note_missing_access(root, mapped_accounts(LoginPaths(root)))


@app.command(epilog=examples("sra pam disable su", "sra pam disable  (all of them)"))
def disable(
    services: Annotated[list[str] | None, typer.Argument(metavar="[SERVICE…]", help="All, if none is named.")] = None,
    *,
    root: Root = Path("/"),
) -> None:
    """Leave these services as they were before “sra pam enable” (as root)."""
    withdrawal.disable(LoginPaths(root), [service_of(name) for name in services or ()], print_note)


@app.command(epilog=examples("sra pam status", "sra pam status --json"))
def status(*, as_json: AsJson = False, root: Root = Path("/")) -> None:
    """Show which services take the card."""
    states = StackFiles(LoginPaths(root)).states()
    if as_json:
        print_json({service.name: state for service, state in states.items()})
        return
    rows = [(service.name, state, service.what) for service, state in states.items()]
    print_table(("SERVICE", "TAKES", "FOR"), rows, "This machine has no PAM services that are known here.")


@app.command("watch-removal", epilog=examples("sra pam watch-removal"))
def watch_removal(*, root: Root = Path("/")) -> None:
    """Lock or end this session when its user's card is removed ([login] on_removal in srad.toml). Runs until killed."""
    card_removal.watch(root)


def note_missing_access(root: Path, accounts: Iterable[str]) -> None:
    """Tell of each of these accounts that sees no card in this machine's readers."""
    for account in card_removal.without_reader_access(root, accounts):
        print_note(f"note: {card_removal.access_problem(account)}. Run: {card_removal.access_remedy(account)}")
