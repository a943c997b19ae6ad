"""What ``sra doctor`` looks at where this machine's logins take the card."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sra.checks import NotHereError, WrongError
from sra.config import DaemonConfig
from sra.identity import certificates
from sra.paths import Paths
from sra.remote.accounts.pairing import PairingStore
from sra.remote.accounts.pairing_file import HASHES
from sra.remote.logins import mapping, marks, set_user_id
from sra.remote.logins import pam_pkcs11 as settings
from sra.remote.logins import reader_access as card_users
from sra.remote.logins import refresh as logins
from sra.remote.logins.login_paths import ANNOUNCE, MODULE, OPENSC, PAM_MODULES, LoginPaths
from sra.remote.logins.stack_files import StackFiles
from sra.remote.logins.stacks import StackState
from sra.remote.logins.units import STARTED, outdated
from sra.system.machine import BOOTED

_CERT_POLICY = re.compile(r"^\s*cert_policy\s*=\s*(?P<words>[^;]*);", re.MULTILINE)


def check_logins(paths: Paths, config: DaemonConfig) -> str:
    """Which services take the card; raise ``WrongError`` if something is missing or untrue that they go by."""
    login = LoginPaths(paths.root)
    states = _states(login)
    mend = f"sra pam enable {next(iter(states))}"
    missing = [str(path) for path in (login.mapping, login.configuration) if not path.exists()]
    missing += [name for name in (ANNOUNCE, MODULE) if login.program(name) is None]
    if missing or login.first(PAM_MODULES) is None or login.first(OPENSC) is None:
        raise WrongError(f"Missing for the login: {', '.join(missing) or 'pam_pkcs11, or the module of OpenSC'}.", mend)
    _check_readable(login)
    _check_cert_policy(login, logins.cert_policy(login, config), mend)
    accounts = logins.accounts_now(paths, config)
    _check_mapping(paths, login, accounts, mend)
    if login.root == Path("/") and BOOTED.is_dir():
        _check_units(mend)
    if problems := [*logins.paired_cards(paths).problems(), *logins.seen_cards(paths).problems()]:
        raise WrongError(" ".join(problems), f"rm {problems[0].partition(' is not used')[0]}")
    known = ", ".join(f"{name}: {state}" for name, state in states.items())
    return f"{known}{_unknown_cards(paths, accounts)}{_without_sssd(login, config)}"


def _unknown_cards(paths: Paths, mapped: Iterable[bytes]) -> str:
    """What to do about cards that were paired by their hash, so that nobody has given the login their certificates."""
    known = [*map(certificates.parse, mapped), *logins.paired_cards(paths).cards()]
    given = {card.public_key_hash(name) for card in known for name in HASHES}
    accounts = sorted({each.account for each in PairingStore(paths.pairings).pairings() if each.hash not in given})
    if not accounts:
        return ""
    return (
        f"; cards of {', '.join(accounts)} were paired by their hash: unless an authority vouches for them, the logins "
        f"know them after: sra pair {accounts[0]} --certificate FILE"
    )


def _without_sssd(login: LoginPaths, config: DaemonConfig) -> str:
    if not login.sssd.is_dir() or config.policy.certificates != "paired-key":
        return ""
    return '; SSSD gets no rules, since they go by names: [policy] certificates = "ca" would give it some'


def check_set_user_id(paths: Paths, _: DaemonConfig) -> str:
    """That no stack of a program with set-user-ID loads OpenSC past our module; else raise ``WrongError``."""
    login = LoginPaths(paths.root)
    found = set_user_id.direct_modules(login, logins.module_of(login))
    if found:
        services = ", ".join(dict.fromkeys(each.service for each in found))
        first = found[0]
        raise WrongError(
            f"Any user can become root: {services} loads {first.module} (named in {first.named_in}), which obeys the "
            f"caller's environment. Name {logins.module_of(login)} there, or have “sra pam enable” write the stack.",
            f"editor {first.named_in}",
        )
    if all(state is StackState.OFF for state in StackFiles(login).states().values()):
        raise NotHereError
    return f"they load OpenSC by {logins.module_of(login)} only"


def check_removal(paths: Paths, config: DaemonConfig) -> str:
    """What a session does when its card goes; raise ``WrongError`` for an account whose session can't see it go."""
    login = LoginPaths(paths.root)
    if all(state is StackState.OFF for state in StackFiles(login).states().values()):
        raise NotHereError
    wanted = config.login.on_removal
    kept_out = card_users.kept_out(paths.root, logins.mapped_accounts(login))
    if kept_out and wanted != "nothing":
        raise WrongError(f"{card_users.advice(kept_out)}.", card_users.remedy(kept_out))
    return f"a session whose card goes: {wanted}"


def _states(login: LoginPaths) -> dict[str, StackState]:
    found = StackFiles(login).states()
    states: dict[str, StackState] = {
        service.name: state for service, state in found.items() if state is not StackState.OFF
    }
    if not states:
        raise NotHereError
    edited = [name for name, state in states.items() if state is StackState.EDITED]
    if edited:
        raise WrongError(
            f"The card's lines were edited by hand: {', '.join(edited)}.", f"editor {login.stacks / edited[0]}"
        )
    stacks = StackFiles(login)
    if old := [
        each.name for each, state in found.items() if state is not StackState.OFF and not stacks.asks_whence(each)
    ]:
        raise WrongError(
            f"Written by an older version, so that the card is asked for logins from other machines too: "
            f"{', '.join(old)}.",
            f"sra pam enable {' '.join(old)}",
        )
    return states


def _check_readable(login: LoginPaths) -> None:
    """A locked screen reads these files as its user."""
    for path in (login.configuration.parent, login.ours, login.trust, login.mapping, login.configuration):
        wanted = 0o005 if path.is_dir() else 0o004
        if path.exists() and path.stat().st_mode & wanted != wanted:
            raise WrongError(f"Not everybody can read {path}, as a locked screen has to.", f"chmod go+rX {path}")


def _check_cert_policy(login: LoginPaths, wanted: str, mend: str) -> None:
    text = logins.text_of(login.configuration)
    is_edited = not marks.is_as_signed(settings.HEAD, text)
    found = {frozenset(match["words"].replace(" ", "").split(",")) for match in _CERT_POLICY.finditer(text)}
    if found != {frozenset(wanted.split(","))}:
        said = " and ".join(",".join(sorted(words)) for words in found) or "missing"
        raise WrongError(
            f"In {login.configuration} cert_policy is {said}; the policy wants {wanted}.",
            f"editor {login.configuration}" if is_edited else mend,
        )


def _check_mapping(paths: Paths, login: LoginPaths, accounts: Mapping[bytes, str], mend: str) -> None:
    """What the login goes by has to be what is worked out now; who may not see the cards can't say."""
    if paths.state.exists() and not os.access(paths.state, os.R_OK | os.X_OK):
        return
    if logins.text_of(login.mapping) != mapping.text_of(accounts).decode():
        raise WrongError(f"{login.mapping} does not say what the pairings and the policy say.", mend)


def _check_units(mend: str) -> None:
    """Another version's units name programs that are gone: they look active, and do nothing."""
    if old := outdated():
        raise WrongError(
            f"{' and '.join(old)} not as this version writes it, so the logins may hear of no change.", mend
        )
    command: Sequence[str] = ("systemctl", "is-active", *STARTED)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    states = dict(zip(STARTED, done.stdout.split(), strict=False))
    idle = [unit for unit in STARTED if states.get(unit) != "active"]
    if idle:
        raise WrongError(f"{' and '.join(idle)} not active, so the logins hear of no new card.", mend)
