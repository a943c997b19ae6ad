"""What an RSA signing block says: the hash that is signed, or that it is no signature that the card may make.

A card's raw RSA operation signs whatever it is given, and RSA multiplies: from the signatures of m1 and m2 follows that
of E where E * m1 = m2 (mod n). A remote that could choose most of m1 and m2 would solve that for another remote's
challenge E (Brier, Clavier, Coron, Naccache 2001). So two encodings pass (RFC 8017), and each only where its free part,
the digest or the salt, is at most a quarter of the block: the known attacks need more than a third
(docs/decisions/0022).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

MIN_FILL = 8
"""Bytes of FF that PKCS#1 v1.5 demands at least (RFC 8017, 9.2)."""
MIN_BLOCK = 128
"""Bytes of the smallest RSA key of PIV (SP 800-78-4, table 5): in less, a quarter leaves random bytes a chance."""
FREE_SHARE = 4
"""A block may be free in one part of this many: what a remote chooses while the rest of the block stays the same."""
PSS_TRAILER = 0xBC
_TOP_BIT = 0x80
"""The first bit of a block as long as its modulus is not part of a PSS encoding, and zero (RFC 8017, 9.1.1 step 11)."""

DIGEST_INFOS: dict[str, tuple[bytes, int]] = {
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
"""By hash: the DigestInfo up to the digest (RFC 8017, 9.2 note 1), and the digest's length."""

MASK_HASHES = ("sha256", "sha384", "sha512", "sha1", "sha224", "sha3_256", "sha3_384", "sha3_512")
"""The hashes of MGF1 in PSS, the usual ones first; the block's own hash may be another one (Java's default)."""
PSS_HASHES = {32: "sha256", 48: "sha384", 64: "sha512", 20: "sha1", 28: "sha224"}
"""By length: the hash of a PSS block, of which nothing but its length can be told."""

_EC_HASHES = {20: "sha1", 28: "sha224", 32: "sha256", 48: "sha384", 64: "sha512"}


@dataclass(frozen=True)
class Signed:
    """What is signed: the hash algorithm's name and the digest (empty for PSS, where it can't be told)."""

    hash_name: str
    digest: bytes


@dataclass(frozen=True)
class _Pss:
    """A PSS encoding that was taken apart: lengths in bytes."""

    mask: str
    hash_length: int
    salt_length: int


def read_rsa(block: bytes) -> Signed | None:
    """What the block signs; ``None`` for a block that is no signature that may be made."""
    return _read_pkcs1(block) or _read_pss(block)


def why_not(block: bytes) -> str:
    """Why ``read_rsa`` refused a block, in words that help to set up the program that asks."""
    if any(pss.salt_length > pss.hash_length for pss in _encodings(block)):
        return (
            "the salt of its PSS signature is longer than its hash; have the program use one as long as the hash "
            "(openssl: -sigopt rsa_pss_saltlen:digest)"
        )
    return "what is to be signed is no hash in a known form (PKCS#1 v1.5 or PSS), or one too long for the key"


def read_ec(digest: bytes) -> Signed | None:
    """What an elliptic-curve key is asked to sign; ``None`` for a length that no hash has."""
    name = _EC_HASHES.get(len(digest))
    return None if name is None else Signed(name, digest)


def _is_bounded(free: int, block: bytes) -> bool:
    return len(block) >= MIN_BLOCK and free * FREE_SHARE <= len(block)


def _read_pkcs1(block: bytes) -> Signed | None:
    """The digest in a PKCS#1 v1.5 encoding, which has no freedom but the digest: one spelling of each DigestInfo."""
    fill, separator, info = block[2:].partition(b"\x00")
    if block[:2] != b"\x00\x01" or not separator or len(fill) < MIN_FILL or fill.strip(b"\xff"):
        return None
    for name, (prefix, length) in DIGEST_INFOS.items():
        if info.startswith(prefix) and len(info) == len(prefix) + length and _is_bounded(length, block):
            return Signed(name, info[len(prefix) :])
    return None


def _read_pss(block: bytes) -> Signed | None:
    for pss in _encodings(block):
        if pss.salt_length <= pss.hash_length and _is_bounded(pss.salt_length, block):
            own = hashlib.new(pss.mask, usedforsecurity=False).digest_size == pss.hash_length
            return Signed(f"pss-{pss.mask.replace('_', '-') if own else PSS_HASHES[pss.hash_length]}", b"")
    return None


def _encodings(block: bytes) -> Iterator[_Pss]:
    """The ways to read the block as PSS (RFC 8017, 9.1.2) of a modulus of 8 * len(block) bits, without the message.

    emBits is then one less, so the encoding fills the block except for its first bit. A modulus whose length is no
    multiple of 8 puts its encoding elsewhere; its blocks are not read, and so not signed.
    """
    if not block or block[-1] != PSS_TRAILER or block[0] >= _TOP_BIT:
        return
    own = [(mask, hashlib.new(mask, usedforsecurity=False).digest_size) for mask in MASK_HASHES]
    mixed = [(mask, length) for mask in MASK_HASHES for length in PSS_HASHES if (mask, length) not in own]
    for mask, length in (*own, *mixed):
        salt = _salt_length(block, length, mask)
        if salt is not None:
            yield _Pss(mask, length, salt)


def _salt_length(block: bytes, hash_length: int, mask: str) -> int | None:
    """Bytes of salt behind the zeros and the 01, if what is under the mask looks like that."""
    if len(block) < hash_length + 2:
        return None
    masked, seed = block[: -hash_length - 1], block[-hash_length - 1 : -1]
    if (masked[0] ^ _mgf1(seed, 1, mask)[0]) & ~_TOP_BIT > 1:  # neither zeros nor the 01: spares the rest of the mask
        return None
    padded = int.from_bytes(masked, "big") ^ int.from_bytes(_mgf1(seed, len(masked), mask), "big")
    padded &= (1 << 8 * len(masked) - 1) - 1
    salt = padded.to_bytes(len(masked), "big").lstrip(b"\x00")
    return len(salt) - 1 if salt[:1] == b"\x01" else None


def _mgf1(seed: bytes, length: int, hash_name: str) -> bytes:
    """The mask generation function of RFC 8017, B.2.1."""
    rounds = -(-length // hashlib.new(hash_name, usedforsecurity=False).digest_size)
    return b"".join(
        hashlib.new(hash_name, seed + counter.to_bytes(4, "big"), usedforsecurity=False).digest()
        for counter in range(rounds)
    )[:length]
