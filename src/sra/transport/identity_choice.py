"""The identities that an administrator has put on this machine, to choose one by its fingerprint.

In the folder lie PEM files, with a certificate (its chain behind it) and its key in one file or in two, and PKCS#12
files, whose password is asked for when they are looked into.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)

from sra.errors import UsageError
from sra.identity.x509_reading import MALFORMED, fingerprint, public_bytes
from sra.logs import clean
from sra.system import files
from sra.transport.tls_identity import MAX_FILE, IdentityFiles, TlsIdentityError, names_of

AskPassword = Callable[[Path], bytes]
"""The password of this PKCS#12 file."""

PKCS12_NAMES = (".p12", ".pfx")
PEM_NAMES = (".pem", ".crt", ".cer", ".key")
_DIGESTS = {20: hashlib.sha1, 32: hashlib.sha256}
"""Length of a fingerprint in bytes -> what it is."""


@dataclass(frozen=True)
class IdentityCandidate:
    """An identity that can be chosen: where it lies, and what its certificate (DER) says."""

    path: Path
    files: IdentityFiles = field(repr=False)
    certificate: bytes = field(repr=False)
    names: tuple[str, ...]
    not_after: datetime

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, as ``SHA256:AB:CD:…``."""
        return fingerprint(self.certificate)

    @property
    def sha1(self) -> str:
        """The SHA-1 of the certificate, as macOS and openssl show it: ``AB:CD:…``."""
        return hashlib.sha1(self.certificate, usedforsecurity=False).digest().hex(":").upper()


@dataclass(frozen=True)
class Found:
    """The identities that can be chosen, and what is wrong with files that can't be."""

    identities: Sequence[IdentityCandidate]
    problems: Sequence[UsageError]


def parse_choice(text: str) -> bytes:
    """The SHA-1 or SHA-256 that the user typed; prefix, colons, spaces and capitals may be missing."""
    digits = text.strip().upper().removeprefix("SHA256:").removeprefix("SHA1:").replace(":", "").replace(" ", "")
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    if len(digest) not in _DIGESTS:
        raise UsageError(f"“{clean(text)}” is not a fingerprint: SHA-1 or SHA-256, as “sra identity list” shows them.")
    return digest


def is_chosen(certificate: bytes, choice: bytes) -> bool:
    """Whether the certificate (DER) has this fingerprint."""
    return _DIGESTS[len(choice)](certificate).digest() == choice


def find(folder: Path, choice: bytes, ask: AskPassword) -> IdentityCandidate | None:
    """The identity of this fingerprint; PKCS#12 files are opened, one password each, only if no PEM file has it.

    Raises ``UsageError`` if different files have it, or if none has it and some could not be looked into.
    """
    found = in_pem(folder)
    if chosen := _only([each for each in found.identities if is_chosen(each.certificate, choice)]):
        return chosen
    problems = list(found.problems)
    for path in pkcs12_files(folder):
        try:
            each = open_pkcs12(path, ask(path))
        except (TlsIdentityError, files.FileError) as error:
            problems.append(error)
            continue
        if is_chosen(each.certificate, choice):
            return each
    if problems:
        raise TlsIdentityError(f"Nothing that can be opened in {folder} has it. {' '.join(map(str, problems))}")
    return None


def _only(chosen: Sequence[IdentityCandidate]) -> IdentityCandidate | None:
    """The one that was chosen, which may be there twice."""
    for other in chosen[1:]:
        if other.files != chosen[0].files:
            raise TlsIdentityError(
                f"{chosen[0].path} and {other.path} have that fingerprint, but differ. Remove one of them."
            )
    return chosen[0] if chosen else None


def in_pem(folder: Path) -> Found:
    """The identities in PEM files: each certificate whose key is there too. A file that is of no use stops no other."""
    contents: dict[Path, bytes] = {}
    keys: dict[bytes, bytes] = {}
    problems: list[UsageError] = []
    for path in _named(folder, PEM_NAMES):
        try:
            contents[path] = _content(path).data
            keys.update(_key_in(path, contents[path]))
        except (TlsIdentityError, files.FileError) as error:
            problems.append(error)
    chains = [(path, _certificates_in(data)) for path, data in contents.items()]
    pairs = [(path, keys.get(public_bytes(chain[0])), chain) for path, chain in chains if chain]
    return Found([_candidate(path, key, chain) for path, key, chain in pairs if key is not None], problems)


def pkcs12_files(folder: Path) -> list[Path]:
    """The PKCS#12 files."""
    return _named(folder, PKCS12_NAMES)


def open_pkcs12(path: Path, password: bytes) -> IdentityCandidate:
    """The identity in a PKCS#12 file; raise ``TlsIdentityError`` if the password is wrong or it holds none."""
    try:
        key, certificate, more = pkcs12.load_key_and_certificates(_content(path).data, password or None)
    except MALFORMED as error:
        raise TlsIdentityError(f"{path} can't be opened: the password is wrong, or it is no PKCS#12 file.") from error
    if key is None or certificate is None:
        raise TlsIdentityError(f"{path} holds no certificate with its key.")
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _candidate(path, private, [certificate, *more])


def open_pem(path: Path, key_path: Path) -> IdentityCandidate:
    """The identity in a PEM file, its key in another or the same one; raise ``TlsIdentityError`` if it is none."""
    chain = _certificates_in(_content(path).data)
    keys = dict(_key_in(key_path, _content(key_path).data))
    if not chain or public_bytes(chain[0]) not in keys:
        raise TlsIdentityError(f"{path} and {key_path} hold no certificate with its key, in PEM without a password.")
    return _candidate(path, keys[public_bytes(chain[0])], chain)


def pem_file(identity: IdentityFiles) -> bytes:
    """An identity as one PEM file: the certificates, then the key."""
    return b"\n".join(part.strip() for part in (identity.certificates, identity.key)) + b"\n"


def file_name(certificate: bytes) -> str:
    """What the file of an identity is called: the beginning of its certificate's SHA-256."""
    return f"{hashlib.sha256(certificate).hexdigest()[:16]}.pem"


def _candidate(path: Path, key: bytes, chain: Sequence[x509.Certificate]) -> IdentityCandidate:
    pem = b"".join(each.public_bytes(Encoding.PEM) for each in chain)
    first = chain[0]
    der = first.public_bytes(Encoding.DER)
    return IdentityCandidate(path, IdentityFiles(key, pem), der, names_of(first), first.not_valid_after_utc)


def _named(folder: Path, endings: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def _content(path: Path) -> files.FileContent:
    content = files.read(path, MAX_FILE)
    if content is None:
        raise TlsIdentityError(f"{path} is missing.")
    return content


def _key_in(path: Path, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The key in a PEM file, found by its public half; raise ``TlsIdentityError`` if every user can read it."""
    if b"PRIVATE KEY-----" not in data:
        return
    if _content(path).mode & stat.S_IRWXO:
        raise TlsIdentityError(f"Everybody can read the key in {path}. Run: chmod 600 {path}")
    try:
        # From the line that opens the private key: a certificate may stand before it.
        start = data.rindex(b"-----BEGIN", 0, data.index(b"PRIVATE KEY-----"))
        key = load_pem_private_key(data[start:], password=None)
    except MALFORMED as error:
        raise TlsIdentityError(f"The key in {path} can't be read: it has to be in PEM, without a password.") from error
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    yield public, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificates_in(data: bytes) -> list[x509.Certificate]:
    if b"-----BEGIN CERTIFICATE-----" not in data:
        return []
    try:
        chain = x509.load_pem_x509_certificates(data)
        public_bytes(chain[0])  # what can't be read later is of no use
    except MALFORMED:
        return []
    return chain
