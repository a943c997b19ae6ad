"""Which of the authorities that this machine trusts vouch for a card's certificate."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from sra import files
from sra.errors import RefusedError
from sra.identity.authorities import Authorities, read_certificates, sort_authorities
from sra.identity.certificates import CardCertificate

MAX_FILE = 1024 * 1024
"""Bytes of a file of authorities: the largest bundles in the field, with hundreds, have a quarter of that."""

SUFFIXES = frozenset({".pem", ".crt", ".cer", ".der"})
"""Of files with certificates; revocation lists beside them end in ``.crl``."""

log = logging.getLogger("sra.accounts")

_Stamps = tuple[tuple[Path, tuple[int, ...]], ...]


class TrustFolder:
    """The authorities in a folder, read again when a file there changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamps: _Stamps | None = None
        self._authorities = Authorities()

    def vouching(self, card: CardCertificate) -> frozenset[str]:
        """The SHA-256 (small hex) of those on the path from the card's certificate to a trusted one.

        Raises ``RefusedError`` that says why there is none.
        """
        stamps = self._current_stamps()
        if stamps != self._stamps:
            self._authorities, _ = sort_authorities(each for path, _ in stamps for each in _read(path))
            self._stamps = stamps
        path = self._authorities.path(card, datetime.now(UTC))
        return frozenset(authority.fingerprint(SHA256()).hex() for authority in path[1:])

    def _current_stamps(self) -> _Stamps:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix in SUFFIXES)
            return tuple((path, files.stamp(path)) for path in paths)
        except (OSError, files.FileError) as error:
            log.debug("no authorities: %s", error)
            return ()


def _read(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in the file; none, and a line in the log, if it can't be read or trusted."""
    try:
        content = files.read_trusted(path, MAX_FILE)
        return read_certificates(content.data) if content else ()
    except (files.FileError, RefusedError) as error:
        log.warning("no authority is taken from %s: %s", path, error)
        return ()
