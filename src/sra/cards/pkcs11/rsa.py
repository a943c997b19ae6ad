"""RSA blocks for cards that pad by themselves (RFC 8017, section 7.2 and 9.2). No I/O."""

from __future__ import annotations

from sra.errors import CardError, KeyMissingError

_SIGNATURE_START = b"\x00\x01"
_ENCRYPTION_START = b"\x00\x02"
_MIN_FILL = 8
"""Bytes of fill that PKCS#1 v1.5 demands at least."""


def strip_signature_padding(block: bytes) -> bytes:
    """What is signed in a PKCS#1 v1.5 signing block; raise ``KeyMissingError`` for any other block (PSS, raw)."""
    fill, separator, content = block[2:].partition(b"\x00")
    if block[:2] != _SIGNATURE_START or not separator or len(fill) < _MIN_FILL or fill.strip(b"\xff"):
        raise KeyMissingError(
            "The card makes only PKCS#1 v1.5 signatures, and this is none (PSS, say); use an elliptic-curve key, or "
            "another card."
        )
    return content


def restore_encryption_padding(content: bytes, size: int) -> bytes:
    """A block that programs take apart to ``content``: the fill of the original one stays in the card."""
    fill = size - len(_ENCRYPTION_START) - 1 - len(content)
    if fill < _MIN_FILL:
        raise CardError("What the card has decrypted is longer than its key allows.")
    return _ENCRYPTION_START + b"\xff" * fill + b"\x00" + content
