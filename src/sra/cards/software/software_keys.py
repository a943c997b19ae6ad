"""The private keys of a software card: making them, and doing with them exactly what GENERAL AUTHENTICATE does."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from sra.cards.raw_rsa import RawRsaKey
from sra.errors import CardError, KeyMissingError
from sra.piv.keys import Algorithm, Operation

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

MADE = (Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096, Algorithm.P256, Algorithm.P384)
"""The algorithms of new keys: RSA 1024 is for old messages on old cards only (SP 800-78-5)."""

_CURVES: dict[Algorithm, ec.EllipticCurve] = {Algorithm.P256: ec.SECP256R1(), Algorithm.P384: ec.SECP384R1()}
_HASHES: dict[Algorithm, hashes.HashAlgorithm] = {Algorithm.P256: hashes.SHA256(), Algorithm.P384: hashes.SHA384()}
"""Hashes as long as the curve's order: a shorter digest with zeros before it is the same number to ECDSA."""


class UsableKey(Protocol):
    """A private key out of its seal."""

    def use(self, operation: Operation, data: bytes) -> bytes:
        """The answer of GENERAL AUTHENTICATE; raise ``CardError``. Blocks for up to 5 ms."""


class RsaKey:
    """Signing and decrypting are one operation: the block is used as it is."""

    def __init__(self, raw: RawRsaKey) -> None:
        self._raw = raw

    def use(self, operation: Operation, data: bytes) -> bytes:
        """The RSA block, as long as the modulus (SP 800-73-4 part 2, section 3.2.4)."""
        if operation is Operation.DERIVE:
            raise KeyMissingError("An RSA key can't derive a secret.")
        return self._raw.use(data)


class EcKey:
    """ECDSA over a digest, or ECDH."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, algorithm: Algorithm) -> None:
        self._private = private
        self._algorithm = algorithm

    def use(self, operation: Operation, data: bytes) -> bytes:
        """A DER signature of the digest, or the X coordinate shared with the point ``04 X Y``."""
        if operation is Operation.DECRYPT:
            raise KeyMissingError("An elliptic-curve key can't decrypt.")
        return self._sign(data) if operation is Operation.SIGN else self._derive(data)

    def _sign(self, digest: bytes) -> bytes:
        if not 0 < len(digest) <= self._algorithm.size:
            raise CardError(f"A digest for this key has 1 to {self._algorithm.size} bytes, not {len(digest)}.")
        hashed = utils.Prehashed(_HASHES[self._algorithm])
        return self._private.sign(digest.rjust(self._algorithm.size, b"\0"), ec.ECDSA(hashed))

    def _derive(self, point: bytes) -> bytes:
        try:
            peer = ec.EllipticCurvePublicKey.from_encoded_point(self._private.curve, point)
        except ValueError as error:
            raise CardError("The other side's point is not on the curve of this key.") from error
        return self._private.exchange(ec.ECDH(), peer)


def generate(algorithm: Algorithm) -> PrivateKey:
    """A new private key of one of the algorithms in ``MADE``. Blocks: RSA 4096 takes seconds."""
    if algorithm.is_rsa:
        return rsa.generate_private_key(public_exponent=65537, key_size=8 * algorithm.size)
    return ec.generate_private_key(_CURVES[algorithm])


def encode(private: PrivateKey) -> bytes:
    """PKCS#8 in DER, not encrypted."""
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load(algorithm: Algorithm, private: bytes) -> UsableKey:
    """The key ready for use, from what ``encode`` gave; raise ``CardError`` if it is no such key."""
    if algorithm.is_rsa:
        return RsaKey(RawRsaKey(private, algorithm.size))
    try:
        loaded = serialization.load_der_private_key(private, password=None)
    except ValueError as error:
        raise CardError("A private key of the software card can't be read; its file is damaged.") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.curve.name != _CURVES[algorithm].name:
        raise CardError("A private key of the software card is of another kind; its file is damaged.")
    return EcKey(loaded, algorithm)
