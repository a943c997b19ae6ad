"""Folders of certificates of cards that were paired or seen, from which the login's mapping is made.

A certificate in such a folder is no permission: the process that makes the mapping decides again which account it
opens, if any, and one that was only seen also needs an authority. So it is safe that the daemon, which an attacker may
take over, can write to one of the folders.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sra.errors import SraError
from sra.identity import certificates
from sra.identity.certificates import MAX_CERTIFICATE, CardCertificate
from sra.system import files

MAX_CARDS = 2000
"""Certificates in one folder: more people than share a machine. The one that was seen longest ago is deleted first."""

_SUFFIX = ".der"
_SEEN_EVERY = 24 * 60 * 60
"""Seconds between two updates of the time at which a card was last seen."""

log = logging.getLogger("sra.logins")


class KnownCards:
    """The folder at ``path``; it belongs to the user that creates it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, card: CardCertificate) -> bool:
        """Store the certificate; whether it is new. Raises ``FileError``."""
        path = self._file(card.der)
        with suppress(OSError):  # it is not stored yet
            if time.time() - path.lstat().st_mtime > _SEEN_EVERY:
                os.utime(path, follow_symlinks=False)
            return False
        files.make_folder(self.path, 0o755)
        for oldest in self._newest_first()[MAX_CARDS - 1 :]:
            oldest.unlink(missing_ok=True)
        files.replace(path, card.der, 0o644)
        return True

    def add_again(self, card: CardCertificate) -> None:
        """Write the certificate again, for processes that watch the folder. Raises ``FileError``."""
        files.replace(self._file(card.der), card.der, 0o644)

    def remove(self, card: CardCertificate) -> None:
        """Delete the certificate."""
        self._file(card.der).unlink(missing_ok=True)

    def cards(self) -> Iterator[CardCertificate]:
        """The certificates that can be read, the newest first."""
        for path in self._newest_first()[:MAX_CARDS]:
            card = _read(path)
            if isinstance(card, CardCertificate):
                yield card
            elif card is not None:
                log.warning("%s is not used: %s", path, card)

    def problems(self) -> list[str]:
        """What is wrong with the certificates that can't be read."""
        found = [(path, _read(path)) for path in self._newest_first()[:MAX_CARDS]]
        return [f"{path} is not used: {problem}" for path, problem in found if isinstance(problem, SraError)]

    def _file(self, der: bytes) -> Path:
        return self.path / f"{hashlib.sha256(der).hexdigest()}{_SUFFIX}"

    def _newest_first(self) -> list[Path]:
        try:
            found = [(path.lstat().st_mtime, path) for path in self.path.iterdir() if path.suffix == _SUFFIX]
        except OSError:
            return []
        return [path for _, path in sorted(found, reverse=True)]


def _read(path: Path) -> CardCertificate | SraError | None:
    """The certificate, or why it can't be read; ``None`` if it is gone."""
    try:
        content = files.read(path, MAX_CERTIFICATE)
        return None if content is None else certificates.parse(content.data)
    except SraError as error:
        return error
