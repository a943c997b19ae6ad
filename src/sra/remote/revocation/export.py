"""Authorities and lists for the login's programs, in folders and files as OpenSSL, pam_pkcs11 and SSSD read them.

A folder's names are those that ``openssl rehash`` makes (docs/decisions/0033-hashed-names-without-openssl-rehash.md):
eight digits of a hash of the name, and a number, with an ``r`` before it for a list.

These programs refuse some cards that srad lets in, and accept no others: they get whole lists only, follow one path,
and accept a list only from the key that signed the card (tests/paths_corpus shows it for each). What they refuse, no
card opens at the login, so ``sra doctor`` names each such difference.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import UsageError
from sra.identity import crl
from sra.identity.authorities import Authorities
from sra.identity.crl import RevocationList
from sra.identity.revocation import CLOCK_TOLERANCE, EvidenceError
from sra.identity.x509_reading import comparable, public_bytes, shown
from sra.logs import clean
from sra.piv import tlv
from sra.remote.revocation.cache import Cache
from sra.remote.revocation.sources import ListSource, digest
from sra.remote.revocation.trust_folder import TrustedCertificates
from sra.system import files

MAX_FILE = 2 * crl.MAX_LIST
"""Bytes of one file in a folder: the longest list, in PEM."""

_HASHED = re.compile(r"[0-9a-f]{8}\.r?[0-9]+")

_TEXTS = {
    0x0C: "utf-8", 0x13: "latin-1", 0x14: "latin-1", 0x16: "latin-1", 0x1A: "latin-1",
    0x1C: "utf-32-be", 0x1E: "utf-16-be",
}  # fmt: skip
"""ASN.1 tags that OpenSSL compares as text (ASN1_MASK_CANON in its x_name.c), and their encodings."""

_SPACES = re.compile(r"[ \t\n\v\f\r]+")

_SMALL = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}

log = logging.getLogger("sra.revocation")


@dataclass(frozen=True)
class LoginTrust:
    """The authorities, and the newest of their lists that are not stale."""

    authorities: Authorities
    lists: tuple[RevocationList, ...]

    @property
    def folder(self) -> dict[str, bytes]:
        """Name -> PEM: ``ca_dir`` and ``crl_dir`` of pam_pkcs11 in one folder, since their names never collide."""
        certificates = [(each.subject, each.public_bytes(Encoding.PEM)) for each in self.authorities.all]
        return _numbered(certificates, ".") | _numbered([(each.issuer, _pem(each)) for each in self.lists], ".r")

    @property
    def authorities_file(self) -> bytes:
        """All authorities in PEM: SSSD's ``pam_cert_db_path``."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in self.authorities.all)

    @property
    def lists_file(self) -> bytes:
        """All lists in PEM: SSSD's ``crl_file``."""
        return b"".join(_pem(each) for each in self.lists)


def login_trust(trusted: TrustedCertificates, cache: Cache, max_age: timedelta, now: datetime) -> LoginTrust:
    """What the login should trust now: the authorities, and the newest list of each, from a file or the cache. Blocks.

    Only whole lists are exported: pam_pkcs11 takes the first list of an authority for a whole one, even a delta. Cards
    that other lists revoke are left out of the login's mapping instead.
    """
    newest: dict[tuple[str, bytes, bytes], RevocationList] = {}
    for found in [*trusted.lists, *_kept(trusted.authorities, cache, max_age)]:
        if not is_whole(found) or not found.this_update <= now + CLOCK_TOLERANCE <= found.fresh_until + CLOCK_TOLERANCE:
            continue
        if found.series not in newest or newest[found.series].this_update < found.this_update:
            newest[found.series] = found
    return LoginTrust(trusted.authorities, tuple(newest.values()))


def is_whole(found: RevocationList) -> bool:
    """Whether the list covers every reason and is no delta, as every program expects."""
    is_part = found.scope is not None and (found.scope.indirect_crl or bool(found.scope.only_some_reasons))
    return found.base is None and not found.problem and not is_part


def write_folder(folder: Path, content: Mapping[str, bytes]) -> None:
    """Make the folder hold exactly these hashed names; raise ``FileError`` if that can't be.

    Each file is replaced in one step and surplus files are removed last, so that a program that reads in the meantime
    finds every authority, by its old name or its new one. Files with other names are not touched.
    """
    files.make_folder(folder, 0o755)
    for name, data in content.items():
        if not _HASHED.fullmatch(name):
            raise UsageError(f"{name} is not a hashed name.")
        path = folder / name
        old = None if path.is_symlink() else files.read(path, MAX_FILE)
        if old is None or old.data != data:
            files.replace(path, data, 0o644)
    for path in folder.iterdir():
        if _HASHED.fullmatch(path.name) and path.name not in content:
            path.unlink(missing_ok=True)


def name_hash(name: x509.Name) -> str:
    """OpenSSL's X509_NAME_hash, by which it searches its folders: eight hexadecimal digits.

    The SHA-1 of the name's canonical form (text as UTF-8, in small letters, with single spaces), first 4 bytes as a
    little-endian number.
    """
    (sequence,) = tlv.parse(name.public_bytes())
    canonical = b""
    for rdn in tlv.parse(sequence.value):
        attributes = sorted(tlv.encode(each.tag, _canonical(each.value)) for each in tlv.parse(rdn.value))
        canonical += tlv.encode(rdn.tag, b"".join(attributes))
    hashed = hashlib.sha1(canonical, usedforsecurity=False).digest()
    return f"{int.from_bytes(hashed[:4], 'little'):08x}"


def _canonical(content: bytes) -> bytes:
    """The canonical form of an attribute's type and value."""
    kind, value = tlv.parse(content)
    if value.tag not in _TEXTS:
        return content
    text = _SPACES.sub(" ", value.value.decode(_TEXTS[value.tag])).strip(" ").translate(_SMALL)
    return tlv.encode(kind.tag, kind.value) + tlv.encode(0x0C, text.encode())


def _numbered(items: Iterable[tuple[x509.Name, bytes]], separator: str) -> dict[str, bytes]:
    """Hashed names, numbered from 0 without gaps, since OpenSSL stops at the first gap."""
    names: dict[str, bytes] = {}
    for name, data in items:
        hashed = name_hash(name)
        number = next(number for number in itertools.count() if f"{hashed}{separator}{number}" not in names)
        names[f"{hashed}{separator}{number}"] = data
    return names


def _kept(authorities: Authorities, cache: Cache, max_age: timedelta) -> Iterator[RevocationList]:
    """The lists in the cache that one of these authorities has signed."""
    issuers = {digest(issuer): issuer for issuer in authorities.all}
    for key, kept in cache.all():
        issuer = issuers.get(kept.issuer)
        if issuer is not None and ListSource(kept.address, issuer).key == key:
            try:
                named = authorities.finder.named(issuer.subject)
                yield crl.verify(kept.body, *named).at_most_until(kept.fetched + max_age)
            except EvidenceError as error:
                log.warning("the stored answer of %s is not used: %s", clean(kept.address), error)


def _pem(found: RevocationList) -> bytes:
    return found.entries.public_bytes(Encoding.PEM)


def login_differences(trusted: TrustedCertificates, *, needs_revocation: bool) -> tuple[str, ...]:
    """What in the folder of trust only srad uses, in sentences for administrators."""
    found = [*_certificates(trusted)]
    if needs_revocation:
        found += [*_lists(trusted), *_keys(trusted)]
    return tuple(dict.fromkeys(found))


def _certificates(trusted: TrustedCertificates) -> Iterator[str]:
    for each in trusted.authorities.all:
        named = trusted.authorities.finder.named(each.subject)
        if sum(public_bytes(other) == public_bytes(each) for other in named) > 1:
            name = shown(each.subject)
            yield f"“{name}” has several certificates here; the login tries one of them, srad all."


def _lists(trusted: TrustedCertificates) -> Iterator[str]:
    for each in trusted.lists:
        if each.base is not None:
            yield f"The login does not read {each.source}: a card stays on hold there until the whole list releases it."
        elif each.problem:
            yield f"The login does not read {each.source}: {each.problem}."
        elif not is_whole(each):
            yield f"The login does not read {each.source}, which is for some reasons only or indirect."


def _keys(trusted: TrustedCertificates) -> Iterator[str]:
    """Authorities with keys that have signed no list: the login takes no list of another key for one of theirs."""
    signing = {(comparable(each.issuer), public_bytes(signer)) for each in trusted.lists for signer in each.signers}
    listed = {name for name, _ in signing}
    for each in trusted.authorities.all:
        name = comparable(each.subject)
        if name in listed and (name, public_bytes(each)) not in signing:
            yield f"The lists of “{shown(each.subject)}” are signed by another of its keys, which the login refuses."
