"""What a remote is and whom it lets in, put together from its settings for ``srad``."""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path

from sra import files
from sra.audit import Audit
from sra.config import DaemonConfig, Paths
from sra.errors import SraError
from sra.identity.certificates import CardCertificate
from sra.remote.accounts.pairing import PairingStore
from sra.remote.daemon.sessions import House, Record

log = logging.getLogger("sra.daemon")


def open_house(paths: Paths, config: DaemonConfig, certificate: bytes) -> House:
    """The remote of these settings; ``certificate`` is its TLS certificate (DER)."""
    host = socket.gethostname()
    pairings = PairingStore(paths.pairings, host)

    async def find_account(card: CardCertificate) -> str:
        return pairings.find_account(card)

    return House(host, certificate, find_account, recorder(paths.audit), config.limits.sessions)


def recorder(path: Path) -> Record:
    """Write to the audit trail; a full disk is told in the log and ends nobody's session (docs/security.md)."""
    with contextlib.suppress(SraError):
        files.make_folder(path.parent, 0o750)
    audit = Audit(path)

    def record(event: str, **facts: str | int) -> None:
        try:
            audit.record(event, **facts)
        except SraError as error:
            log.error("%s could not be recorded: %s", event, error)  # noqa: TRY400

    return record
