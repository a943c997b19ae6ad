"""What administrators put into the folder of trust: certificates of authorities, and revocation lists."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from sra import files
from sra.errors import SraError
from sra.identity import crl
from sra.identity.authorities import MALFORMED, Authorities, read_certificates, sort_authorities
from sra.identity.crl import RevocationList
from sra.identity.revocation import EvidenceError

MAX_FILES = 1000
"""In one folder: the whole of a large public key infrastructure has some hundreds."""

MAX_CERTIFICATES = 1024 * 1024
"""Bytes of one file of certificates: some 600 of them."""

CERTIFICATES = (".pem", ".crt", ".cer", ".der")
LISTS = (".crl",)

log = logging.getLogger("sra.revocation")

_Stamps = tuple[tuple[Path, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Trusted:
    """What the folders held. ``lists`` were verified; each stands under the certificate that verified it.

    ``problems``: the files that are not used, and why, for the log and for people.
    """

    authorities: Authorities = field(default_factory=Authorities)
    lists: dict[x509.Certificate, tuple[RevocationList, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class TrustFolder:
    """The folder of authorities and the folder of lists, which may be one. What was read is kept until it changes."""

    def __init__(self, authorities: Path, lists: Path) -> None:
        self._authorities = authorities
        self._lists = lists
        self._stamps: _Stamps | None = None
        self._trusted = Trusted()

    @property
    def current(self) -> Trusted | None:
        """What is in the folders, if it was read and nothing has changed since: a system call for each file."""
        return self._trusted if self._stamps is not None and self._stamps == self._look() else None

    def read(self) -> Trusted:
        """What is in the folders. Blocks: 0.4 s for a list of 100,000."""
        stamps = self._look()
        problems: list[str] = []
        authorities, others = sort_authorities(self._certificates(problems))
        problems += [f"a certificate in {self._authorities} is none of an authority" for _ in others[:1]]
        trusted = Trusted(authorities, self._verified_lists(authorities, problems), tuple(problems))
        for problem in problems:
            log.warning("%s", problem)
        self._trusted, self._stamps = trusted, stamps
        return trusted

    def _certificates(self, problems: list[str]) -> list[x509.Certificate]:
        found: list[x509.Certificate] = []
        for path in _named(self._authorities, CERTIFICATES):
            try:
                content = files.read_trusted(path, MAX_CERTIFICATES)
                found += read_certificates(content.data) if content else ()
            except (SraError, OSError) as error:
                problems.append(f"{path} is not used: {error}")
        return found

    def _verified_lists(
        self, authorities: Authorities, problems: list[str]
    ) -> dict[x509.Certificate, tuple[RevocationList, ...]]:
        found: dict[x509.Certificate, tuple[RevocationList, ...]] = {}
        for path in _named(self._lists, LISTS):
            try:
                content = files.read_trusted(path, crl.MAX_LIST)
                issuer, verified = _verified(content.data if content else b"", authorities)
                found[issuer] = (*found.get(issuer, ()), verified)
            except (SraError, OSError) as error:
                problems.append(f"{path} is not used: {error}")
        return found

    def _look(self) -> _Stamps:
        paths = [*_named(self._authorities, CERTIFICATES), *_named(self._lists, LISTS)]
        return tuple((path, files.stamp(path)) for path in paths)


def _verified(data: bytes, authorities: Authorities) -> tuple[x509.Certificate, RevocationList]:
    """The list, and which authority signed it; raise ``EvidenceError`` if none of these did."""
    try:
        issuer = crl.read(data).issuer
    except MALFORMED as error:
        raise EvidenceError("the revocation list can't be read") from error
    candidates = [each for each in authorities.all if each.subject == issuer]
    problem = EvidenceError("its issuer is none of the authorities here")
    for candidate in candidates:
        try:
            return candidate, crl.verify(data, candidate)
        except EvidenceError as error:
            problem = error
    raise problem


def _named(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """The files with such names, in order of name. Links (as openssl rehash makes) have other ones."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in endings)
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("%s can't be read: %s", folder, error.strerror)
        return []
    if len(found) > MAX_FILES:
        log.warning("%s has more than %d such files; the rest is not used", folder, MAX_FILES)
    return found[:MAX_FILES]
