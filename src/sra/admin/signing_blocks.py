"""What an RSA signing block says: the hash that is signed, or that it is no signature anybody should make.

A card's raw RSA operation signs whatever it is given, so a hostile remote could have it sign another remote's
challenge, or a blinded one. Only two encodings pass (RFC 8017): PKCS#1 v1.5 with a known DigestInfo of exactly the
right length (9.2), and PSS with the structure checked as far as it can be without the message (9.1.2).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MIN_FILL = 8
"""Bytes of FF that PKCS#1 v1.5 demands at least (RFC 8017, 9.2)."""
MIN_PSS_ZEROS = 16
"""Bytes of zeros in a PSS block. With fewer, a remote could try blinding factors until a block looks well-formed."""
_PSS_TRAILER = 0xBC
_TOP_BIT = 0x80
"""The first bit of a block as long as its modulus is not part of a PSS encoding, and zero (RFC 8017, 9.1.1 step 11)."""
_PSS_HASHES = ("sha256", "sha384", "sha512", "sha1", "sha224")

_DIGEST_INFOS: dict[str, tuple[bytes, int]] = {
    "md5": (bytes.fromhex("3020300c06082a864886f70d020505000410"), 16),
    "ripemd160": (bytes.fromhex("3021300906052b2403020105000414"), 20),
    "sha1": (bytes.fromhex("3021300906052b0e03021a05000414"), 20),
    "sha224": (bytes.fromhex("302d300d06096086480165030402040500041c"), 28),
    "sha256": (bytes.fromhex("3031300d060960864801650304020105000420"), 32),
    "sha384": (bytes.fromhex("3041300d060960864801650304020205000430"), 48),
    "sha512": (bytes.fromhex("3051300d060960864801650304020305000440"), 64),
    "sha3-256": (bytes.fromhex("3031300d060960864801650304020805000420"), 32),
    "sha3-384": (bytes.fromhex("3041300d060960864801650304020905000430"), 48),
    "sha3-512": (bytes.fromhex("3051300d060960864801650304020a05000440"), 64),
}
_EC_HASHES = {20: "sha1", 28: "sha224", 32: "sha256", 48: "sha384", 64: "sha512"}


@dataclass(frozen=True)
class Signed:
    """What is signed: the hash algorithm's name and the digest (empty for PSS, where it can't be told)."""

    hash_name: str
    digest: bytes


def read_rsa(block: bytes) -> Signed | None:
    """What the block signs; ``None`` for a block that is no signature."""
    return _read_pkcs1(block) or _read_pss(block)


def read_ec(digest: bytes) -> Signed | None:
    """What an elliptic-curve key is asked to sign; ``None`` for a length that no hash has."""
    name = _EC_HASHES.get(len(digest))
    return None if name is None else Signed(name, digest)


def _read_pkcs1(block: bytes) -> Signed | None:
    fill, separator, info = block[2:].partition(b"\x00")
    if block[:2] != b"\x00\x01" or not separator or len(fill) < MIN_FILL or fill.strip(b"\xff"):
        return None
    for name, (prefix, length) in _DIGEST_INFOS.items():
        if info.startswith(prefix) and len(info) == len(prefix) + length:
            return Signed(name, info[len(prefix) :])
    return None


def _read_pss(block: bytes) -> Signed | None:
    if not block or block[-1] != _PSS_TRAILER:
        return None
    for name in _PSS_HASHES:
        if _is_pss(block, name):
            return Signed(f"pss-{name}", b"")
    return None


def _is_pss(block: bytes, hash_name: str) -> bool:
    length = hashlib.new(hash_name, usedforsecurity=False).digest_size
    if len(block) < MIN_PSS_ZEROS + 2 + length or block[0] >= _TOP_BIT:
        return False
    masked, seed = block[: -length - 1], block[-length - 1 : -1]
    mask = _mgf1(seed, len(masked), hash_name)
    data = bytes(left ^ right for left, right in zip(masked, mask, strict=True))
    data = bytes([data[0] & ~_TOP_BIT]) + data[1:]
    salt = data.lstrip(b"\x00")
    return len(data) - len(salt) >= MIN_PSS_ZEROS and salt[:1] == b"\x01"


def _mgf1(seed: bytes, length: int, hash_name: str) -> bytes:
    """The mask generation function of RFC 8017, B.2.1."""
    rounds = -(-length // hashlib.new(hash_name, usedforsecurity=False).digest_size)
    return b"".join(
        hashlib.new(hash_name, seed + counter.to_bytes(4, "big"), usedforsecurity=False).digest()
        for counter in range(rounds)
    )[:length]
