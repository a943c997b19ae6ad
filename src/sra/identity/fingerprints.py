"""Fingerprints of certificates: ``SHA256:`` and 32 bytes as ``AB:CD:…``, wherever a person sees one."""

from __future__ import annotations

import hashlib

from sra.errors import UsageError
from sra.logs import clean

PREFIX = "SHA256:"


def fingerprint(certificate: bytes) -> str:
    """The fingerprint of a certificate (DER): its SHA-256, as ``SHA256:AB:CD:…`` (102 characters)."""
    return PREFIX + hashlib.sha256(certificate).digest().hex(":").upper()


def parse_fingerprint(text: str) -> str:
    """A fingerprint that a person typed, in its one form; prefix, colons and capitals may be missing.

    Raises ``UsageError`` if it is not 32 bytes in hexadecimal.
    """
    digits = text.strip().upper().removeprefix(PREFIX).replace(":", "")
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise UsageError(f"“{clean(text)}” is not a fingerprint. On the remote, “sra identity show” prints it.")
    return PREFIX + digest.hex(":").upper()
