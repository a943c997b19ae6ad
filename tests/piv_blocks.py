"""What programs hand to a card to have something signed, and an object as some cards hold it."""

from __future__ import annotations

import gzip
import hashlib

from sra.piv import tlv
from sra.piv.keys import Algorithm

_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def signing_input(algorithm: Algorithm, text: bytes) -> bytes:
    """The input of GENERAL AUTHENTICATE for a SHA-256 signature of ``text`` (PKCS#1 v1.5 for RSA)."""
    digest = hashlib.sha256(text).digest()
    if not algorithm.is_rsa:
        return digest
    content = _SHA256_INFO + digest
    return b"\x00\x01" + b"\xff" * (algorithm.size - len(content) - 3) + b"\x00" + content


def build_compressed_certificate(certificate: bytes) -> bytes:
    """A certificate object that holds the DER ``certificate`` compressed with gzip."""
    return tlv.encode(0x70, gzip.compress(certificate)) + tlv.encode(0x71, b"\x01") + tlv.encode(0xFE)
