"""The checks of ``sra doctor`` for this machine's logins: their files, their units, and programs with set-user-ID.

OpenSC and PC/SC's library read their settings with plain ``getenv()``, so in ``su`` the caller says which libraries
root loads. Therefore the stacks of programs with set-user-ID may only name our own module, which removes the
environment first.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sra.checks import NotHereError, WrongError
from sra.config import DaemonConfig
from sra.identity import certificates
from sra.paths import Paths
from sra.remote.accounts.pairing import PairingStore
from sra.remote.accounts.pairing_file import HASHES
from sra.remote.logins import card_removal, pam_pkcs11, refresh
from sra.remote.logins.login_paths import ANNOUNCE, MODULE, OPENSC, PAM_MODULES, LoginPaths
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import StackState
from sra.remote.logins.watch import STARTED, outdated_units
from sra.system.machine import BOOTED

SET_USER_ID_SERVICES = (
    "su", "su-l", "sudo", "sudo-i", "polkit-1", "xscreensaver", "passwd", "chsh", "chfn", "chage", "newgrp", "runuser",
    "ksu", "doas", "vlock", "physlock", "i3lock", "swaylock", "kcheckpass", "kde", "cinnamon-screensaver",
)  # fmt: skip
"""The PAM services of programs that have set-user-ID in some distribution."""
MAX_FILE = 64 * 1024
MAX_DEPTH = 8
"""Levels of stacks that include stacks: PAM itself stops at 32, distributions use 2."""

_CERT_POLICY = re.compile(r"^\s*cert_policy\s*=\s*(?P<words>[^;]*);", re.MULTILINE)
_INCLUDE = re.compile(r"(?:@include|-?auth\s+(?:include|substack))\s+(?P<name>[A-Za-z0-9._-]+)")
_MODULE = re.compile(r"-?auth\s+(?:\[[^\]]*\]|\S+)\s+(?:\S*/)?(?P<name>pam_pkcs11|pam_p11)\.so(?P<arguments>.*)")


def check_logins(paths: Paths, config: DaemonConfig) -> str:
    """Which services take the card; raise ``WrongError`` if a file that they need is missing or not up to date."""
    login = LoginPaths(paths.root)
    states = _states(login)
    remedy = f"sra pam enable {next(iter(states))}"
    missing = [str(path) for path in (login.mapping, login.configuration) if not path.exists()]
    missing += [name for name in (ANNOUNCE, MODULE) if login.program(name) is None]
    if missing or login.first(PAM_MODULES) is None or login.first(OPENSC) is None:
        what = ", ".join(missing) or "pam_pkcs11, or OpenSC's module"
        raise WrongError(f"Missing for the login: {what}.", remedy)
    for path in (login.configuration.parent, login.ours, login.trust, login.mapping, login.configuration):
        wanted = 0o005 if path.is_dir() else 0o004
        if path.exists() and path.stat().st_mode & wanted != wanted:
            raise WrongError(
                f"Not every user can read {path}, which a locked screen needs to do.", f"chmod go+rX {path}"
            )
    _check_cert_policy(login, refresh.cert_policy(login, config), remedy)
    accounts = refresh.accounts_now(paths, config)
    _check_mapping(paths, login, accounts, remedy)
    if login.root == Path("/") and BOOTED.is_dir():
        _check_units(remedy)
    if problems := [*refresh.paired_cards(paths).problems(), *refresh.seen_cards(paths).problems()]:
        raise WrongError(" ".join(problems), f"rm {problems[0].partition(' is not used')[0]}")
    known = ", ".join(f"{name}: {state}" for name, state in states.items())
    without_sssd = ""
    if login.sssd.is_dir() and config.policy.certificates == "paired-key":
        without_sssd = '; SSSD gets no rules, since they go by names: it gets some with [policy] certificates = "ca"'
    return f"{known}{_unknown_cards(paths, accounts)}{without_sssd}"


def check_set_user_id(paths: Paths) -> str:
    """Raise ``WrongError`` if the stack of a program with set-user-ID loads OpenSC without our module."""
    login = LoginPaths(paths.root)
    module = refresh.module_of(login)
    if found := direct_modules(login, module):
        services = ", ".join(dict.fromkeys(each.service for each in found))
        first = found[0]
        raise WrongError(
            f"Any user can become root: {services} loads {first.module} (named in {first.named_in}), which obeys the "
            f"caller's environment. Name {module} there, or have “sra pam enable” write the stack.",
            f"editor {first.named_in}",
        )
    if not StackFiles(login).using_cards():
        raise NotHereError
    return f"they load OpenSC by {module} only"


def check_removal(paths: Paths, config: DaemonConfig) -> str:
    """What a session does when its card is removed; raise ``WrongError`` for an account whose session can't see it."""
    login = LoginPaths(paths.root)
    if not StackFiles(login).using_cards():
        raise NotHereError
    action = config.login.on_removal
    accounts = card_removal.without_reader_access(paths.root, refresh.mapped_accounts(login))
    if accounts and action != "nothing":
        raise WrongError(f"{card_removal.access_problem(accounts[0])}.", card_removal.access_remedy(accounts[0]))
    return f"a session whose card is removed: {action}"


def _states(login: LoginPaths) -> dict[str, StackState]:
    """The services that take a card; raise ``WrongError`` if one is edited or old, ``NotHereError`` without any."""
    stacks = StackFiles(login)
    found = stacks.using_cards()
    if not found:
        raise NotHereError
    edited = [service.name for service, state in found.items() if state is StackState.EDITED]
    if edited:
        raise WrongError(
            f"The card's lines were edited by hand: {', '.join(edited)}.", f"editor {login.stacks / edited[0]}"
        )
    if old := [service.name for service in found if not stacks.asks_origin(service)]:
        raise WrongError(
            "An older version wrote these stacks, which also ask for the card when a login comes from another machine: "
            f"{', '.join(old)}.",
            f"sra pam enable {' '.join(old)}",
        )
    return {service.name: state for service, state in found.items()}


def _check_cert_policy(login: LoginPaths, wanted: str, remedy: str) -> None:
    """Raise ``WrongError`` if pam_pkcs11's settings have another policy than this one."""
    text = refresh.text_of(login.configuration)
    found = {frozenset(match["words"].replace(" ", "").split(",")) for match in _CERT_POLICY.finditer(text)}
    if found != {frozenset(wanted.split(","))}:
        said = " and ".join(",".join(sorted(words)) for words in found) or "missing"
        raise WrongError(
            f"In {login.configuration} cert_policy is {said}; the policy needs {wanted}.",
            remedy if pam_pkcs11.is_as_written(text) else f"editor {login.configuration}",
        )


def _check_mapping(paths: Paths, login: LoginPaths, accounts: Mapping[bytes, str], remedy: str) -> None:
    """Raise ``WrongError`` if the login's mapping differs from these accounts; skipped if the cards can't be read."""
    if paths.state.exists() and not os.access(paths.state, os.R_OK | os.X_OK):
        return
    if refresh.text_of(login.mapping) != pam_pkcs11.mapping_of(accounts).decode():
        raise WrongError(f"{login.mapping} does not match the pairings and the policy.", remedy)


def _check_units(remedy: str) -> None:
    """Raise ``WrongError`` for inactive units, and for another version's, whose programs are gone."""
    if old := outdated_units():
        raise WrongError(
            f"{' and '.join(old)} not as this version writes it, so the logins may hear of no change.", remedy
        )
    command = ("systemctl", "is-active", *STARTED)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    states = dict(zip(STARTED, done.stdout.split(), strict=False))
    idle = [unit for unit in STARTED if states.get(unit) != "active"]
    if idle:
        raise WrongError(f"{' and '.join(idle)} not active, so the logins learn of no new card.", remedy)


def _unknown_cards(paths: Paths, mapped: Iterable[bytes]) -> str:
    """The next step for cards that were paired by their hash, so that the login does not have their certificates."""
    known = [*map(certificates.parse, mapped), *refresh.paired_cards(paths).cards()]
    given = {card.public_key_hash(name) for card in known for name in HASHES}
    accounts = sorted({each.account for each in PairingStore(paths.pairings).pairings() if each.hash not in given})
    if not accounts:
        return ""
    return (
        f"; cards of {', '.join(accounts)} were paired by their hash: unless an authority vouches for them, the logins "
        f"know them only after: sra pair {accounts[0]} --certificate FILE"
    )


@dataclass(frozen=True)
class DirectModule:
    """A library that a service's stack loads without our module, and the file that names it."""

    service: str
    module: str
    named_in: Path


def direct_modules(login: LoginPaths, allowed: str) -> list[DirectModule]:
    """The libraries besides ``allowed`` that the stacks of programs with set-user-ID would load."""
    return [
        DirectModule(service, module, path)
        for service in SET_USER_ID_SERVICES
        for path, module in dict.fromkeys(_modules(login, service, MAX_DEPTH))
        if module != allowed
    ]


def _modules(login: LoginPaths, stack: str, depth: int) -> Iterator[tuple[Path, str]]:
    """Every PKCS #11 module that a stack names, and where; PAM takes the machine's own stack before the vendor's."""
    own = login.stacks / stack
    path = own if own.exists() else login.vendor_stacks / stack
    for line in _text(path).replace("\\\n", " ").splitlines():
        if (include := _INCLUDE.match(line.strip())) and depth > 0:
            yield from _modules(login, include["name"], depth - 1)
        elif module := _MODULE.match(line.strip()):
            words = module["arguments"].partition("#")[0].split()
            if module["name"] == "pam_p11":
                yield from ((path, word) for word in words if word.startswith("/"))
            else:
                named = [word.removeprefix("config_file=") for word in words if word.startswith("config_file=")]
                settings = login.root / named[-1].lstrip("/") if named else login.default_configuration
                yield from ((settings, each) for each in sorted(pam_pkcs11.modules_in(_text(settings))))


def _text(path: Path) -> str:
    """The text of a file that is only looked at, so anyone may be able to write it; empty if it can't be read."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(MAX_FILE).decode(errors="replace")
    return ""
