"""How the private keys of a software card are kept: under a card secret, which is kept under the PIN and the PUK.

Only ``cryptography``'s scrypt and AES-256-GCM. A PIN of six digits can be guessed by whoever copies the file (a million
tries of the scrypt below are a day of one processor): the file's rights protect it first, the PIN second.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

SECRET_SIZE = 32
"""Bytes of the card secret: an AES-256 key."""

_SALT_SIZE = 16
_NONCE_SIZE = 12
"""Bytes of AES-GCM's nonce (SP 800-38D, section 8.2.2: random)."""

_SCRYPT_N = 2**15
"""32 MiB and 90 ms a guess on a 2023 server core: twice that would be felt at every PIN, half would help the thief."""


def new_secret() -> bytes:
    """A fresh card secret."""
    return secrets.token_bytes(SECRET_SIZE)


def seal(secret: bytes, content: bytes, context: bytes) -> bytes:
    """``content`` encrypted under ``secret`` and bound to ``context``: nonce, then AES-GCM's output."""
    nonce = secrets.token_bytes(_NONCE_SIZE)
    return nonce + AESGCM(secret).encrypt(nonce, content, context)


def unseal(secret: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """What ``seal`` was given; ``None`` if the secret or the context is another one, or the bytes were changed."""
    try:
        return AESGCM(secret).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], context)
    except (InvalidTag, ValueError):
        return None


def seal_under_code(code: bytes, secret: bytes, context: bytes) -> bytes:
    """The card secret encrypted under a PIN or PUK: salt, nonce, AES-GCM's output. Takes about 90 ms."""
    salt = secrets.token_bytes(_SALT_SIZE)
    return salt + seal(_stretch(code, salt), secret, context)


def unseal_under_code(code: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """The card secret, or ``None`` if the PIN or PUK is wrong. Takes about 90 ms."""
    return unseal(_stretch(code, sealed[:_SALT_SIZE]), sealed[_SALT_SIZE:], context)


def _stretch(code: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=SECRET_SIZE, n=_SCRYPT_N, r=8, p=1).derive(code)
