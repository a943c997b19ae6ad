"""What a remote is and whom it lets in, put together from its settings for ``srad``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from pathlib import Path

from sra import logs
from sra.config import DaemonConfig, SessionConfig
from sra.errors import RefusalCode, RefusedError, SraError
from sra.ledger import Ledger
from sra.logs import of_session
from sra.paths import Paths
from sra.remote.build import open_finder
from sra.remote.build_license import open_licenses
from sra.remote.build_policy import checking
from sra.remote.daemon.audit_rules import rule_for
from sra.remote.daemon.screens import Screens
from sra.remote.daemon.sessions import Admission
from sra.remote.license.statement import SCREEN_SHARING
from sra.remote.license.store import LicenseStore
from sra.remote.logins.watch import remembering
from sra.system import files
from sra.wire.messages import SessionLimits

COUNTING_INTERVAL = 5.0
"""Seconds between looks at what was counted and is to be written."""

log = logging.getLogger("sra.daemon")


def open_house(paths: Paths, config: DaemonConfig, certificate: bytes, recorder: Recorder | None = None) -> Admission:
    """The remote of these settings; ``certificate`` is its TLS certificate (DER). Needs a running event loop."""
    host = socket.gethostname()
    record = recorder or Recorder(paths.audit)
    licenses = open_licenses(paths)
    licenses.start()
    finder = open_finder(paths, config.accounts, host, licenses.now)
    check = checking(paths, config.policy, licenses.now)
    limits = session_limits(config.session)
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


def session_limits(config: SessionConfig) -> SessionLimits:
    """The owner's demands, in the seconds that the protocol counts in."""
    minutes = config.pin_cache_minutes
    return SessionLimits(
        pin_cache=(minutes or 0) * 60,
        limit_pin_cache=minutes is not None,
        idle=config.idle_minutes * 60,
        total=config.total_minutes * 60,
    )


class Recorder:
    """The audit trail; a full disk is told in the log and ends nobody's session (docs/security.md)."""

    def __init__(self, path: Path) -> None:
        with contextlib.suppress(SraError):
            files.make_folder(path.parent, 0o750)
        self._ledger = Ledger(path, rule_for)

    def __call__(self, event: str, **facts: str | int) -> None:
        """Write one event down, or count it."""
        try:
            self._ledger.record(event, **facts)
        except SraError as error:
            about = of_session(str(facts.get("session", "")))
            log.error("%s could not be recorded: %s", event, error, extra=about)  # noqa: TRY400

    def write_counts(self, *, at_once: bool = False) -> None:
        """Write down how many were not written one by one."""
        try:
            self._ledger.write_counts(at_once=at_once)
        except SraError as error:
            log.error("repeated events could not be recorded yet: %s", error)  # noqa: TRY400

    async def keep_counting(self) -> None:
        """Write the numbers as they fall due, until cancelled; then all of them."""
        try:
            while True:
                await asyncio.sleep(COUNTING_INTERVAL)
                self.write_counts()
                logs.tell_counts()
        finally:
            self.write_counts(at_once=True)
