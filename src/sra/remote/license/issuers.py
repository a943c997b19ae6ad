"""The keys that sign licenses: one pair for each fleet; its owner has the private key, each remote the public one."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from sra.errors import UsageError
from sra.system import files

MAX_FILE = 16 * 1024
"""Bytes of a key's file: it has some 300."""
MIN_PASSPHRASE = 8
"""Characters: an attacker who has the file can try every passphrase."""

_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


class IssuerKeyError(UsageError):
    """An issuer's key can't be made, read or used."""


def generate(path: Path, public_path: Path, passphrase: bytes) -> Ed25519PublicKey:
    """Make a key pair: the private key encrypted (PKCS #8), the public one beside it; neither file may exist."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise IssuerKeyError(f"The passphrase needs at least {MIN_PASSPHRASE} characters.")
    files.make_folder(path.parent, 0o700)
    with files.locked(path):
        for taken in (path, public_path):
            if taken.exists():
                raise IssuerKeyError(f"{taken} is there already, and licenses may depend on it. Name another file.")
        key = Ed25519PrivateKey.generate()
        encryption = BestAvailableEncryption(passphrase)
        files.replace(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), 0o600)
        files.replace(public_path, pem(key.public_key()), 0o644)
    return key.public_key()


def open_key(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """The private key in this file; raise ``IssuerKeyError`` for a wrong passphrase or another kind of key."""
    content = files.read_trusted(path, MAX_FILE)
    if content is None:
        raise IssuerKeyError(f"{path} is missing. To make an issuer's key, run: sra license keygen")
    try:
        key = load_pem_private_key(content.data, passphrase)
    except _UNREADABLE as error:
        raise IssuerKeyError(f"{path} can't be opened: the passphrase is wrong, or it is no such key.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IssuerKeyError(f"{path} holds another kind of key than Ed25519, with which licenses are signed.")
    return key


def parse_public(data: bytes, name: str) -> Ed25519PublicKey:
    """The public key in PEM; raise ``IssuerKeyError``, naming the file, if it is none."""
    try:
        key = load_pem_public_key(data)
    except _UNREADABLE as error:
        raise IssuerKeyError(f"{name} is not a public key in PEM. “sra license keygen” makes one.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise IssuerKeyError(f"{name} holds another kind of key than Ed25519, with which licenses are signed.")
    return key


def pem(key: Ed25519PublicKey) -> bytes:
    """The public key in PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
