"""What ``sra doctor`` looks at on a remote."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sra import audit
from sra.cards.pcsc.reader import check_pcscd
from sra.checks import Check, NotHereError, WrongError
from sra.config import DaemonConfig, load_daemon_config
from sra.errors import UsageError
from sra.identity.certificates import CardCertificate
from sra.ledger import refusals_path
from sra.paths import Paths
from sra.remote.accounts.pairing import PairingStore
from sra.remote.activation import virtual_screen_linux
from sra.remote.activation.undo import LOGIN_WINDOW
from sra.remote.build import issuers_folder, latest_time, open_licenses
from sra.remote.checks import opensc
from sra.remote.checks.card_checks import check_card, check_policy
from sra.remote.checks.logins import check_logins, check_removal, check_set_user_id
from sra.remote.license.latest_time import moment
from sra.remote.license.statement import day
from sra.remote.screen_sharing.wayland import wlroots_linux
from sra.remote.screen_sharing.x11 import displays_linux
from sra.remote.screen_sharing.x11.displays_linux import Display
from sra.system import files, machine, tcp
from sra.system.machine import is_service
from sra.transport import probe as handshakes
from sra.transport import tls_identity

MIN_FREE = 64 * 1024 * 1024
"""Bytes: below that the audit log soon has no room."""
CLOCK_TOLERANCE = 10 * 60
"""Seconds by which a clock may have been corrected."""
RENEW_BEFORE = timedelta(days=30)
"""How long before its end an identity should be renewed."""
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""A clock that shows less was never set."""


@dataclass(frozen=True)
class CheckedRemote:
    """The remote that is looked at; ``card``: whose pairing is asked about, if any."""

    paths: Paths
    card: CardCertificate | None = None

    @property
    def config(self) -> DaemonConfig:
        """Its settings, or the defaults where they can't be read (a check of its own says that)."""
        try:
            return load_daemon_config(self.paths.config)
        except UsageError:
            return DaemonConfig()

    def sra(self, command: str) -> str:
        """The command, for this remote."""
        return f"sra {command}" if self.paths.root == Path("/") else f"sra {command} --root {self.paths.root}"

    @property
    def start(self) -> str:
        """The command that starts it anew."""
        is_installed = self.paths.root == Path("/") and is_service()
        return "systemctl restart sra.target" if is_installed else self.sra("remote run")


def _settings(remote: CheckedRemote) -> str:
    config = load_daemon_config(remote.paths.config)
    return f"ports {config.port} and {config.local_port}, {config.readers} readers"


def _identity(remote: CheckedRemote) -> str:
    identity = tls_identity.load(remote.paths.identity)
    left = identity.not_after - datetime.now(UTC)
    if left <= RENEW_BEFORE:
        says = (
            f"expires on {identity.not_after.date()}"
            if left > timedelta()
            else f"expired on {identity.not_after.date()}"
        )
        raise WrongError(f"The certificate {says}.", remote.sra("identity generate --renew"))
    return f"{identity.fingerprint}, valid until {identity.not_after.date()}"


def _identity_again(remote: CheckedRemote) -> str:
    """The command that makes one, in place of a broken one too."""
    names = (tls_identity.KEY_FILE, tls_identity.CERTIFICATE_FILE)
    is_broken = any((remote.paths.identity / name).exists() for name in names)
    return remote.sra("identity generate --force" if is_broken else "identity generate")


def _listener(
    port: Callable[[DaemonConfig], int], address: Callable[[DaemonConfig], str]
) -> Callable[[CheckedRemote], str]:
    def look(remote: CheckedRemote) -> str:
        number = port(remote.config)
        if number == 0:
            raise NotHereError
        _check_own(remote, number)
        version, shown = handshakes.tls(address(remote.config), number)
        if shown != tls_identity.load(remote.paths.identity).certificate:
            raise WrongError(f"Port {number} shows another identity than the one in {remote.paths.identity}.")
        return f"port {number} answers with {version} and this remote's identity"

    return look


def _check_own(remote: CheckedRemote, port: int) -> None:
    """Raise ``WrongError`` if somebody else's program listens there, so that srad can't."""
    folder = remote.paths.daemon_run
    own = folder.stat().st_uid if folder.exists() else None
    others = [uid for uid in tcp.listeners(port) if uid != own]
    if others:
        raise WrongError(
            f"Port {port} is taken by a program of {machine.user(others[0])}.", f"ss -ltnp sport = :{port}"
        )


def listen_address(config: DaemonConfig) -> str:
    """An address of this machine at which srad listens."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    addresses = sorted(config.listen, key=lambda address: ":" in address)
    return loopback.get(addresses[0], addresses[0])


def _virtual_cards(remote: CheckedRemote) -> str:
    wanted = remote.config.readers
    attached = tcp.count_connections(remote.config.local_port)
    if attached is None or remote.config.local_port == 0:
        raise NotHereError
    if attached < wanted:
        raise WrongError(f"{attached} of {wanted} virtual cards are attached to srad.")
    return f"{wanted} of {wanted} are attached to srad"


def _license(remote: CheckedRemote) -> str:
    store = open_licenses(remote.paths)
    license_ = store.check(time.time())
    if store.problems():
        raise WrongError(" ".join(map(str, store.problems())), remote.sra("license status"))
    return f"{license_.licensee}, until {day(license_.ends)}"


def _pairings(remote: CheckedRemote) -> str:
    store = PairingStore(remote.paths.pairings)
    try:
        count, problems = len(store.pairings()), store.problems()
    except files.FileError as error:
        raise WrongError(str(error), error.command or f"editor {remote.paths.pairings}") from error.__cause__
    if problems:
        raise WrongError(" ".join(problems), f"editor {remote.paths.pairings}")
    if count == 0 and not remote.paths.attribute_mapping.exists() and remote.config.accounts.ldap is None:
        raise WrongError("No card is paired with an account.")
    return f"{count} cards are paired" if count != 1 else "1 card is paired"


def _policy(remote: CheckedRemote) -> str:
    return check_policy(remote.paths, remote.config)


def _card(remote: CheckedRemote) -> str:
    return check_card(remote.paths, remote.config, remote.card)


def _logins(remote: CheckedRemote) -> str:
    return check_logins(remote.paths, remote.config)


def _set_user_id(remote: CheckedRemote) -> str:
    return check_set_user_id(remote.paths, remote.config)


def _removal(remote: CheckedRemote) -> str:
    return check_removal(remote.paths, remote.config)


def _reader(remote: CheckedRemote) -> str:
    found = opensc.virtual_readers()
    if len(found) < remote.config.readers:
        raise WrongError(f"pcscd has {len(found)} of {remote.config.readers} virtual readers.")
    return f"pcscd has {len(found)} virtual readers"


def _screen(remote: CheckedRemote) -> str:
    if not (remote.paths.screen_helper.exists() and remote.config.screen.enabled):
        raise NotHereError
    shown = wlroots_linux.find(list(displays_linux.processes()), displays_linux.console())
    name = f"display {shown.name}" if isinstance(shown, Display) else f"the session of {shown.process.name}"
    return f"{name} can be shared"


def _screen_again(remote: CheckedRemote) -> str:
    if displays_linux.is_wayland(list(displays_linux.processes())):
        return ""
    is_virtual = (remote.paths.root / virtual_screen_linux.SETTINGS.removeprefix("/")).exists()
    return f"systemctl restart {LOGIN_WINDOW}" if is_virtual else "sra activate --virtual-screen"


def check_clock(remote: CheckedRemote) -> str:
    """Raise ``WrongError`` unless the clock shows what it can show, by what it has shown before."""
    now, seen = time.time(), latest_time(remote.paths).read()
    if now < EARLIEST:
        raise WrongError(f"The clock shows {moment(now)}: it was never set.", "timedatectl set-ntp true")
    if now < seen - CLOCK_TOLERANCE:
        raise WrongError(
            f"The clock shows {moment(now)}, and has shown {moment(seen)} before: licenses are judged by the later. "
            "If the clock is wrong now, set it (timedatectl set-ntp true); if it was wrong then, accept what it shows.",
            remote.sra("license clock --accept"),
        )
    return moment(now)


def _audit(remote: CheckedRemote) -> str:
    folder = next(each for each in (remote.paths.audit.parent, *remote.paths.audit.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE:
        raise WrongError(f"{folder} has room for {free // 2**20} MiB only.", f"df -h {folder}")
    both = (remote.paths.audit, refusals_path(remote.paths.audit))
    kept = sum(len(audit.full_files(each)) + each.exists() for each in both)
    return f"{kept} {'file' if kept == 1 else 'files'}, room for {free // 2**20} MiB"


def _permissions(remote: CheckedRemote) -> str:
    for path, is_secret in _guarded(remote.paths):
        status = path.lstat()
        if status.st_mode & files.OTHERS_MAY_WRITE:
            raise WrongError(f"Others may write in {path}.", f"chmod go-w {path}")
        if is_secret and status.st_mode & stat.S_IRWXO:
            raise WrongError(f"Everybody can read {path}.", f"chmod o= {path}")
        if path in _public(remote.paths) and (status.st_mode & 0o005) != 0o005:
            raise WrongError(f"srad can't look into {path}.", f"chmod 755 {path}")
        if path.is_relative_to(remote.paths.etc) and status.st_uid not in {0, os.geteuid()}:
            raise WrongError(f"{path} belongs to somebody else than root.", f"chown root {path}")
    return f"{remote.paths.etc} and {remote.paths.run} are as they should be"


def _public(paths: Paths) -> tuple[Path, ...]:
    """What root writes and the service, another user, has to read."""
    return paths.etc, paths.profiles, paths.trust, issuers_folder(paths)


def _guarded(paths: Paths) -> Iterator[tuple[Path, bool]]:
    """What nobody else may write in, and whether nobody else may read it either."""
    folders = (*_public(paths), paths.identity, paths.run, paths.readers, paths.state, paths.audit.parent)
    yield from ((folder, False) for folder in folders if folder.exists())
    secrets = (paths.identity / tls_identity.KEY_FILE, paths.local_secret)
    yield from ((file, True) for file in secrets if file.exists())


def _versions(_: CheckedRemote) -> str:
    return ", ".join(f"{name} {version}" for name, version in machine.versions().items())


def _start(remote: CheckedRemote) -> str:
    return remote.start


CHECKS: tuple[Check[CheckedRemote], ...] = (
    Check("settings", _settings, lambda remote: f"editor {remote.paths.config}"),
    Check("identity", _identity, _identity_again),
    Check("admins' port", _listener(lambda config: config.port, listen_address), _start),
    Check("local port", _listener(lambda config: config.local_port, lambda _: "127.0.0.1"), _start),
    Check("virtual cards", _virtual_cards, _start),
    Check("license", _license, lambda remote: remote.sra("license install FILE")),
    Check("pairings", _pairings, lambda remote: remote.sra("pair ACCOUNT --certificate FILE")),
    Check("policy", _policy, lambda remote: f"ls -l {remote.paths.trust}"),
    Check("card", _card, lambda remote: remote.sra("whois FILE")),
    Check("pcscd", lambda _: check_pcscd()),
    Check("readers", _reader, lambda _: "systemctl restart pcscd.service"),
    Check("OpenSC", lambda _: opensc.check_opensc()),
    Check("logins", _logins, lambda remote: remote.sra("pam enable SERVICE")),
    Check("programs with set-user-ID", _set_user_id),
    Check("removal", _removal),
    Check("screen", _screen, _screen_again),
    Check("clock", check_clock, lambda _: "timedatectl set-ntp true"),
    Check("audit log", _audit),
    Check("permissions", _permissions),
    Check("versions", _versions),
)
"""In the order in which a person would go through them: each rests on those before."""
