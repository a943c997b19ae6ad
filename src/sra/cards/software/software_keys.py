"""The private keys of a software card: making them, and doing with them exactly what GENERAL AUTHENTICATE does."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import sys
import weakref
from functools import cache
from typing import Any, Protocol, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

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
        if operation is Operation.SIGN:
            size = self._algorithm.size
            if not 0 < len(data) <= size:
                raise CardError(f"A digest for this key has 1 to {size} bytes, not {len(data)}.")
            hashed = utils.Prehashed(_HASHES[self._algorithm])
            return self._private.sign(data.rjust(size, b"\0"), ec.ECDSA(hashed))
        try:
            # Checks that the point is on the curve: of one that is not, the answer would tell parts of the key.
            peer = ec.EllipticCurvePublicKey.from_encoded_point(self._private.curve, data)
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


_NO_PADDING = 3
"""RSA_NO_PADDING in openssl/rsa.h."""

_POINTER, _BYTES, _INT, _LONG = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_long
_SIZE = ctypes.POINTER(ctypes.c_size_t)

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "d2i_AutoPrivateKey": (_POINTER, [_POINTER, ctypes.POINTER(_BYTES), _LONG]),
    "EVP_PKEY_free": (None, [_POINTER]),
    "EVP_PKEY_CTX_new": (_POINTER, [_POINTER, _POINTER]),
    "EVP_PKEY_CTX_free": (None, [_POINTER]),
    "EVP_PKEY_CTX_set_rsa_padding": (_INT, [_POINTER, _INT]),
    "EVP_PKEY_decrypt_init": (_INT, [_POINTER]),
    "EVP_PKEY_encrypt_init": (_INT, [_POINTER]),
    "EVP_PKEY_decrypt": (_INT, [_POINTER, _BYTES, _SIZE, _BYTES, ctypes.c_size_t]),
    "EVP_PKEY_encrypt": (_INT, [_POINTER, _BYTES, _SIZE, _BYTES, ctypes.c_size_t]),
    "ERR_clear_error": (None, []),
}


class RawRsaKey:
    """An RSA private key inside libcrypto, for the private operation on any block; usable from several threads at once.

    ``cryptography`` always adds or strips a padding, so this goes to libcrypto itself, to the one that Python's ``ssl``
    is linked with: constant time, blinded, and with no arithmetic of our own (docs/decisions/0002).
    """

    def __init__(self, private: bytes, size: int) -> None:
        """Take a DER private key (PKCS#8 or PKCS#1) whose modulus has ``size`` bytes; raise ``CardError``."""
        self._crypto = _libcrypto()
        self._size = size
        start = ctypes.c_char_p(private)
        self._key = self._crypto.d2i_AutoPrivateKey(None, ctypes.byref(start), len(private))
        if not self._key:
            self._crypto.ERR_clear_error()
            raise CardError("The private key of the software card can't be read; its file is damaged.")
        weakref.finalize(self, self._crypto.EVP_PKEY_free, self._key)

    def use(self, block: bytes) -> bytes:
        """The ``size`` bytes of ``block`` ** d mod n, checked with the public key before they leave.

        A result that a fault has spoilt would give the private key away, so it is never returned (CardError); nor is
        one for a block of another size or not below the modulus.
        """
        result = self._run("decrypt", block)
        if self._run("encrypt", result) != block:
            raise CardError("The RSA result did not verify, so it was thrown away; this machine may be faulty.")
        return result

    def _run(self, operation: str, block: bytes) -> bytes:
        if len(block) != self._size:
            raise CardError(f"An RSA block of this key has {self._size} bytes, not {len(block)}.")
        crypto, output, length = self._crypto, ctypes.create_string_buffer(self._size), ctypes.c_size_t(self._size)
        context = crypto.EVP_PKEY_CTX_new(self._key, None)
        try:
            succeeded = (
                getattr(crypto, f"EVP_PKEY_{operation}_init")(context) > 0
                and crypto.EVP_PKEY_CTX_set_rsa_padding(context, _NO_PADDING) > 0
                and getattr(crypto, f"EVP_PKEY_{operation}")(context, output, length, block, len(block)) > 0
            )
        finally:
            crypto.EVP_PKEY_CTX_free(context)
            crypto.ERR_clear_error()
        if not succeeded or length.value != self._size:
            raise CardError("The RSA block is not below the key's modulus.")
        return output.raw


@cache
def _libcrypto() -> ctypes.CDLL:
    """The libcrypto behind Python's own ssl module; else (not on macOS, which aborts) the system's."""
    linked = getattr(importlib.import_module("_ssl"), "__file__", None)
    found = None if sys.platform == "darwin" else ctypes.util.find_library("crypto")
    for path in filter(None, (linked, found)):
        library = ctypes.CDLL(path)
        if all(hasattr(library, name) for name in _SIGNATURES):
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
            return library
    raise CardError("RSA software cards need OpenSSL 3 as a shared library; install it (Debian: libssl3), or use P256.")
