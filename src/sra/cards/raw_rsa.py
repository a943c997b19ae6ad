"""The RSA private operation on any block, as GENERAL AUTHENTICATE does it.

``cryptography`` always adds or strips a padding, so this goes to libcrypto itself, to the one that Python's ``ssl`` is
linked with: constant time, blinded, and with no arithmetic of our own (docs/decisions/0002).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import sys
import weakref
from functools import cache
from typing import Any

from sra.errors import CardError

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
    """An RSA private key inside libcrypto; usable from several threads at once."""

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
        context = self._crypto.EVP_PKEY_CTX_new(self._key, None)
        try:
            return self._run_in(context, operation, block)
        finally:
            self._crypto.EVP_PKEY_CTX_free(context)
            self._crypto.ERR_clear_error()

    def _run_in(self, context: int, operation: str, block: bytes) -> bytes:
        output = ctypes.create_string_buffer(self._size)
        length = ctypes.c_size_t(self._size)
        succeeded = (
            getattr(self._crypto, f"EVP_PKEY_{operation}_init")(context) > 0
            and self._crypto.EVP_PKEY_CTX_set_rsa_padding(context, _NO_PADDING) > 0
            and getattr(self._crypto, f"EVP_PKEY_{operation}")(context, output, length, block, len(block)) > 0
        )
        if not succeeded or length.value != self._size:
            raise CardError("The RSA block is not below the key's modulus.")
        return output.raw


@cache
def _libcrypto() -> ctypes.CDLL:
    for path in _candidates():
        library = ctypes.CDLL(path)
        if all(hasattr(library, name) for name in _SIGNATURES):
            return _declare(library)
    raise CardError("RSA software cards need OpenSSL 3 as a shared library; install it (Debian: libssl3), or use P256.")


def _candidates() -> list[str]:
    """Where libcrypto may be: behind Python's own ssl module; else (not on macOS, which aborts) the system's."""
    linked = getattr(importlib.import_module("_ssl"), "__file__", None)
    found = None if sys.platform == "darwin" else ctypes.util.find_library("crypto")
    return [path for path in (linked, found) if path]


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library
