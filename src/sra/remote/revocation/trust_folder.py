"""What administrators put into the folder of trust: certificates of authorities, and revocation lists."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography import x509

from sra.errors import RefusedError, SraError
from sra.identity import crl, status
from sra.identity.authorities import Authorities, Issued, read_certificates, sort_authorities, split
from sra.identity.crl import RevocationList
from sra.identity.revocation import EvidenceError
from sra.identity.x509_reading import MALFORMED, comparable
from sra.system import files

MAX_FILES = 1000
"""In one folder: the whole of a large public key infrastructure has some hundreds."""

MAX_CERTIFICATES = 1024 * 1024
"""Bytes of one file of certificates: some 600 of them."""

CERTIFICATES = (".pem", ".crt", ".cer", ".der")
LISTS = (".crl",)

log = logging.getLogger("sra.revocation")

_Stamps = tuple[tuple[Path, tuple[int, ...]], ...]


@dataclass(frozen=True)
class UnusedFile:
    """A file that is not used, and why; of a list, the name of the issuer that it gives, if that could be read."""

    text: str
    issuer: str = ""

    def __str__(self) -> str:
        """The text, for the log and for people."""
        return self.text


@dataclass(frozen=True)
class TrustedCertificates:
    """What the folders held. ``lists`` were verified, each by the certificates that it names itself."""

    authorities: Authorities = field(default_factory=Authorities)
    lists: tuple[RevocationList, ...] = ()
    problems: tuple[UnusedFile, ...] = ()

    def lists_about(self, issued: Issued) -> list[RevocationList]:
        """The lists that say anything of the certificate, whoever of its issuer's name has signed them."""
        own = self._by_issuer.get(comparable(issued.certificate.issuer), ())
        return [*own, *(each for each in self._of_others if each not in own and status.speaks_of(each, issued))]

    def problems_about(self, issued: Issued) -> list[str]:
        """What is wrong with the lists of the certificate's issuer: another's are no reason to be told of here."""
        issuer = comparable(issued.certificate.issuer)
        return [each.text for each in self.problems if each.issuer == issuer]

    @cached_property
    def _by_issuer(self) -> dict[str, list[RevocationList]]:
        found: dict[str, list[RevocationList]] = {}
        for each in self.lists:
            found.setdefault(comparable(each.issuer), []).append(each)
        return found

    @cached_property
    def _of_others(self) -> tuple[RevocationList, ...]:
        """The lists that have entries for other issuers' certificates, or say that they could."""
        return tuple(each for each in self.lists if each.is_indirect or each.serials.keys() - {comparable(each.issuer)})


class TrustFolder:
    """The folder of authorities and the folder of lists, which may be one. What was read is kept until it changes."""

    def __init__(self, authorities: Path, lists: Path) -> None:
        self._authorities = authorities
        self._lists = lists
        self._stamps: _Stamps | None = None
        self._trusted = TrustedCertificates()

    @property
    def current(self) -> TrustedCertificates | None:
        """What is in the folders, if it was read and nothing has changed since: a system call for each file."""
        return self._trusted if self._stamps is not None and self._stamps == self._look() else None

    def read(self) -> TrustedCertificates:
        """What is in the folders. Blocks: 0.4 s for a list of 100,000."""
        stamps = self._look()
        problems: list[UnusedFile] = []
        authorities, others = sort_authorities(self._certificates(problems))
        problems += [UnusedFile(f"a certificate in {self._authorities} is none of an authority") for _ in others[:1]]
        trusted = TrustedCertificates(authorities, self._verified_lists(authorities, problems), tuple(problems))
        for problem in problems:
            log.warning("%s", problem)
        for each in trusted.lists:
            if each.problem:
                log.warning("%s only counts for what it revokes: %s", each.source, each.problem)
        self._trusted, self._stamps = trusted, stamps
        return trusted

    def _certificates(self, problems: list[UnusedFile]) -> list[x509.Certificate]:
        found: list[x509.Certificate] = []
        for path in _named(self._authorities, CERTIFICATES):
            try:
                content = files.read_trusted(path, MAX_CERTIFICATES)
                for der in split(content.data) if content else ():
                    found += _read_one(path, der, problems)
            except (SraError, OSError) as error:
                problems.append(UnusedFile(f"{path} is not used: {error}"))
        return found

    def _verified_lists(self, authorities: Authorities, problems: list[UnusedFile]) -> tuple[RevocationList, ...]:
        found: list[RevocationList] = []
        finder = authorities.finder
        for path in _named(self._lists, LISTS):
            issuer = ""
            try:
                content = files.read_trusted(path, crl.MAX_LIST)
                data = content.data if content else b""
                issuer = _issuer(data)
                found.append(crl.verify(data, *finder.named_alike(issuer)))
            except (SraError, OSError) as error:
                problems.append(UnusedFile(f"{path} is not used: {error}", issuer))
        return tuple(found)

    def _look(self) -> _Stamps:
        paths = [*_named(self._authorities, CERTIFICATES), *_named(self._lists, LISTS)]
        return tuple((path, files.stamp(path)) for path in paths)


def _read_one(path: Path, der: bytes, problems: list[UnusedFile]) -> tuple[x509.Certificate, ...]:
    """A certificate of a file: one that can't be read says nothing against the others."""
    try:
        return read_certificates(der)
    except RefusedError as error:
        problems.append(UnusedFile(f"a certificate in {path} is not used: {error}"))
        return ()


def _issuer(data: bytes) -> str:
    """The issuer of what could be a list, comparable."""
    try:
        return comparable(crl.read(data).issuer)
    except MALFORMED as error:
        raise EvidenceError("the revocation list can't be read") from error


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
