"""``srad``: the remote's daemon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from sra import logs
from sra.audit import Audit
from sra.config import DaemonConfig, load_daemon_config
from sra.errors import RefusalCode, RefusedError
from sra.paths import Paths
from sra.programs.run import run_command
from sra.remote.build import checking, open_finder, open_licenses
from sra.remote.daemon.announcements import Announcements
from sra.remote.daemon.daemon_audit import Recorder
from sra.remote.daemon.local_listener import LocalListener
from sra.remote.daemon.network_listener import NetworkListener
from sra.remote.daemon.recent_admins import RecentAdmins
from sra.remote.daemon.screens import Screens
from sra.remote.daemon.sessions import Admission, Sessions
from sra.remote.license.statement import SCREEN_SHARING
from sra.remote.license.store import LicenseStore
from sra.remote.logins.watch import remembering
from sra.remote.screen_sharing.link import collect_recordings
from sra.system import files
from sra.transport import tls_identity
from sra.transport.gate import GateLimits
from sra.wire.messages import ALPN, SCREEN_ALPN, SessionLimits

SECRET_BYTES = 32

log = logging.getLogger("sra.daemon")


def main() -> None:
    """Run ``srad``."""
    run_command(srad)


def srad(
    root: Annotated[Path, typer.Option(help="Where etc/sra, run/sra and the rest are.")] = Path("/"),
    log_level: Annotated[str, typer.Option(help="error, warning, info, debug or traffic.")] = "info",
) -> None:
    """Serve the admins that come to this machine, until SIGTERM.

    Example: srad --root /tmp/trial
    """
    logs.set_up(log_level, sys.stderr)
    paths = Paths(root)
    asyncio.run(_serve(paths, load_daemon_config(paths.config)))


async def _serve(paths: Paths, config: DaemonConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    identity = tls_identity.load(paths.identity)
    record = Recorder(paths.audit)
    admission = open_admission(paths, config, identity.certificate, record)
    sessions = Sessions(admission)
    local = LocalListener(
        tls_identity.server_context(identity, [ALPN]), _local_secret(paths.local_secret), sessions,
        card_user=_owner(paths.readers),
    )  # fmt: skip
    context = tls_identity.server_context(identity, [ALPN, SCREEN_ALPN])
    known = RecentAdmins(paths.recent_admins)
    known.load()
    network = NetworkListener(context, admission, sessions, _limits(config), known)
    announcements = Announcements(paths.announce, sessions.remark)
    collecting = asyncio.create_task(collect_recordings(paths.screen_helper, Audit(paths.audit).record))
    counting = asyncio.create_task(record.keep_counting())
    try:
        announcements.open()
        local_port = await local.open(config.local_port)
        port = await network.open(config.listen, config.port)
        log.info("listening on port %d, and for the virtual card on 127.0.0.1 port %d", port, local_port)
        log.info("this machine's fingerprint is %s", identity.fingerprint)
        await stop.wait()
        log.info("stopping")
    finally:
        collecting.cancel()
        announcements.close()
        await network.close()
        await local.close()
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


def _limits(config: DaemonConfig) -> GateLimits:
    limits = config.limits
    return GateLimits(
        limits.unauthenticated, limits.per_address, float(limits.per_seconds), per_second=limits.per_second
    )


def _owner(folder: Path) -> int | None:
    """The user whom the folder belongs to, if it is there: that of the readers' sockets is the virtual card's."""
    with contextlib.suppress(OSError):
        return folder.stat().st_uid
    return None


def _local_secret(path: Path) -> bytes:
    """The secret that is there already (made by the program that started this one), or a new one."""
    content = files.read(path, SECRET_BYTES + 1)
    if content is not None and len(content.data) == SECRET_BYTES:
        return content.data
    files.make_folder(path.parent, 0o755)
    secret = secrets.token_bytes(SECRET_BYTES)
    files.replace(path, secret, 0o600 if os.geteuid() else 0o640)
    return secret


def open_admission(paths: Paths, config: DaemonConfig, certificate: bytes, record: Recorder) -> Admission:
    """What the remote of these settings is, and whom it lets in. Needs a running event loop.

    ``certificate`` is the remote's TLS certificate (DER).
    """
    host = socket.gethostname()
    licenses = open_licenses(paths)
    licenses.start()
    finder = open_finder(paths, config.accounts, host, licenses.now)
    check = checking(paths, config.policy, licenses.now)
    demands = config.session
    limits = SessionLimits(
        pin_cache=(demands.pin_cache_minutes or 0) * 60,
        limit_pin_cache=demands.pin_cache_minutes is not None,
        idle=demands.idle_minutes * 60,
        total=demands.total_minutes * 60,
    )
    find_account = remembering(paths, finder.find_account, finder.vouching)
    screens = Screens(paths.screen_helper, record, lambda: admit_to_screen(licenses, host))
    return Admission(
        host,
        certificate,
        find_account,
        record,
        config.limits.sessions,
        admit=licenses.admit,
        check_certificate=check,
        session_limits=limits,
        screens=screens,
        now=licenses.now,
    )


def admit_to_screen(licenses: LicenseStore, host: str) -> None:
    """Raise ``RefusedError`` unless a license holds that includes the screen."""
    if SCREEN_SHARING not in licenses.check(time.time()).features:
        text = f"The license of {host} does not include screen sharing. Its administrator installs one that does."
        raise RefusedError(RefusalCode.LICENSE, text)
