"""``sra activate`` and ``sra deactivate``: make this machine a remote, and take that back."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sra.cli.console.options import examples
from sra.cli.console.output import print_facts, print_note
from sra.cli.console.passwords import PasswordFd, read_password
from sra.config import load_daemon_config
from sra.errors import UsageError
from sra.paths import Paths
from sra.remote.activation import journal, runner, virtual_screen_linux
from sra.remote.activation.changed_machine import Machine
from sra.remote.activation.journal import Journal, Requested
from sra.remote.activation.remote_identity import chosen, files_in_use, first, former, generated, in_use
from sra.remote.activation.steps_linux import RemoteSetup, ScreenFiles, all_steps, steps
from sra.remote.activation.this_machine import (
    check_machine,
    check_root,
    programs,
    this_machine,
    wait_for_screen,
    wait_for_srad,
)
from sra.remote.logins import watch, withdrawal
from sra.remote.logins.login_paths import LoginPaths
from sra.transport import identity_choice, tls_identity
from sra.transport.identity_choice import AskPassword

POLKIT_POLICY = "/usr/share/polkit-1/actions/org.debian.pcsc-lite.policy"
PCSCD_USER = "pcscd"
"""The user that newer versions of pcscd run as."""

app = typer.Typer()


@dataclass(frozen=True)
class ActivateOptions:
    """The options that the user gave."""

    generate: bool
    choice: bytes | None
    screen: bool
    virtual_screen: bool
    password_fd: int | None


@app.command(epilog=examples("sra activate -g -s", "sra activate -c 5B:12:…  (of “sra identity list”)"))
def activate(
    *,
    generate: Annotated[
        bool,
        typer.Option("-g", "--generate", help="Make a TLS identity, unless there is one; trust it on this machine."),
    ] = False,
    certificate: Annotated[
        str | None,
        typer.Option("-c", "--certificate", metavar="FINGERPRINT", help="Use this identity (SHA-1 or SHA-256)."),
    ] = None,
    screen: Annotated[
        bool, typer.Option("-s", "--screen", help="Share the screen, by a user of its own, _srascreen.")
    ] = False,
    virtual_screen: Annotated[
        bool,
        typer.Option(
            "--virtual-screen", help="Without a monitor: LightDM's login window on a screen of its own, and -s."
        ),
    ] = False,
    password_fd: PasswordFd = None,
) -> None:
    """Make this machine a remote: users, services, the virtual readers (as root). Again, it changes what is missing.

    Everything is recorded first, so that “sra deactivate” can take back exactly that.
    """
    if generate and certificate is not None:
        raise UsageError("Make a new identity (-g) or choose one (-c), not both.")
    choice = identity_choice.parse_choice(certificate) if certificate is not None else None
    machine = this_machine()
    check_machine(machine)
    _activate(
        machine,
        Paths(machine.root),
        ActivateOptions(generate, choice, screen or virtual_screen, virtual_screen, password_fd),
    )


@app.command(epilog=examples("sra deactivate"))
def deactivate() -> None:
    """Take back what “sra activate” and “sra pam enable” did (as root). Pairings, settings and the audit log stay.

    The logins come first: if a later step fails, users still get in by their passwords.
    """
    machine = this_machine()
    check_root()
    had_logins = withdrawal.put_back(LoginPaths(machine.root), print_note)
    runner.rebuild(machine, all_steps(), print_note)
    if not runner.deactivate(machine, print_note) and not had_logins:
        print_note("this machine is not activated; there is nothing to take back")


def _activate(machine: Machine, paths: Paths, options: ActivateOptions) -> None:
    record = journal.read(machine) or Journal()
    if options.virtual_screen and not record.wanted.virtual_screen:
        _check_virtual_screen(machine)
    config = load_daemon_config(paths.config)
    current = in_use(paths, interrupted=bool(record.entries) and not record.complete)
    if options.choice is None:
        new = generated(current, wanted=options.generate)
    else:
        new = chosen(paths, current, options.choice, _asking(options.password_fd))
    # What was asked for once stays.
    wanted = Requested(
        record.wanted.trust or options.generate,
        record.wanted.screen or options.screen,
        record.wanted.virtual_screen or options.virtual_screen,
    )
    setup = RemoteSetup(
        programs=programs(),
        readers=config.readers,
        identity=new,
        former=former(paths, current) if new and current else None,
        trusted=first((new or files_in_use(paths)).certificates) if wanted.trust else None,
        screen=ScreenFiles(Path(sys.executable), paths.screen_helper) if wanted.screen else None,
        virtual_screen=wanted.virtual_screen,
        pcscd_uid=machine.user(PCSCD_USER) or 0,
        pcscd_asks_polkit=machine.path(POLKIT_POLICY).exists(),
    )
    changed = runner.activate(machine, steps(setup), wanted, print_note)
    if machine.root == Path("/"):
        watch.renew_units(print_note)
    identity = tls_identity.load(paths.identity)
    wait_for_srad(config.local_port, identity.certificate, lambda: _start_again(machine))
    if wanted.virtual_screen:
        wait_for_screen(machine)
    if not changed:
        print_note("nothing had to be changed")
    print_facts(
        [
            ("fingerprint", identity.fingerprint),
            ("names", ", ".join(identity.names) or "(none)"),
            ("valid until", identity.not_after.date()),
            ("port", config.port),
            ("next", "sra pair ACCOUNT --certificate FILE"),
        ]
    )


def _check_virtual_screen(machine: Machine) -> None:
    virtual_screen_linux.check(machine)
    if found := virtual_screen_linux.monitors(machine):
        print_note(
            f"a monitor is connected ({', '.join(found)}): the login window will not be on it, but on a virtual one"
        )


def _asking(descriptor: int | None) -> AskPassword:
    """Ask the user for each file's password; try the one in the descriptor with each."""
    if descriptor is None:
        return lambda path: read_password(f"Password of {path}: ", None)
    once = functools.cache(lambda: read_password("", descriptor))
    return lambda _: once()


def _start_again(machine: Machine) -> None:
    machine.run(["systemctl", "restart", "sra.target"])
    print_note("srad was started again with the renewed identity")
