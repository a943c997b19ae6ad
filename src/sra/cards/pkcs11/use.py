"""Having a key behind a PKCS#11 module do what GENERAL AUTHENTICATE asks for."""

from __future__ import annotations

from collections.abc import Collection

import pkcs11
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import KDF, Attribute, KeyType, Mechanism

from sra.errors import CardError, KeyMissingError
from sra.piv.keys import KeyRequest, Operation

KEY_TYPES = {True: KeyType.RSA, False: KeyType.EC}
"""By whether the algorithm is an RSA one."""


def use(key: pkcs11.PrivateKey, request: KeyRequest, mechanisms: Collection[Mechanism], pin: str | None) -> bytes:
    """What the key makes of the input; ``pin`` is given for a key that always wants it."""
    if request.operation is Operation.DERIVE:
        return _derive(key, request)
    raw, size = Mechanism.RSA_X_509 in mechanisms, request.algorithm.size
    if request.operation is Operation.DECRYPT:
        content = _decrypt(key, request, Mechanism.RSA_X_509 if raw else Mechanism.RSA_PKCS, pin)
        return content.rjust(size, b"\0") if raw else restore_encryption_padding(content, size)
    if not request.algorithm.is_rsa:
        # A card answers in DER; the module puts the two numbers one after the other.
        both = _sign(key, request, request.input, Mechanism.ECDSA, pin)
        half = len(both) // 2
        return encode_dss_signature(int.from_bytes(both[:half], "big"), int.from_bytes(both[half:], "big"))
    if raw:
        return _sign(key, request, request.input, Mechanism.RSA_X_509, pin).rjust(size, b"\0")
    return _sign(key, request, strip_signature_padding(request.input), Mechanism.RSA_PKCS, pin)


def _sign(key: pkcs11.PrivateKey, request: KeyRequest, data: bytes, mechanism: Mechanism, pin: str | None) -> bytes:
    if not isinstance(key, pkcs11.SignMixin):
        raise _not_for(request)
    return key.sign(data, mechanism=mechanism, pin=pin)


def _decrypt(key: pkcs11.PrivateKey, request: KeyRequest, mechanism: Mechanism, pin: str | None) -> bytes:
    if not isinstance(key, pkcs11.DecryptMixin):
        raise _not_for(request)
    content = key.decrypt(request.input, mechanism=mechanism, pin=pin)
    return content if isinstance(content, bytes) else b"".join(content)


def _derive(key: pkcs11.PrivateKey, request: KeyRequest) -> bytes:
    if not isinstance(key, pkcs11.DeriveMixin):
        raise _not_for(request)
    derived = key.derive_key(
        KeyType.GENERIC_SECRET,
        8 * request.algorithm.size,
        mechanism=Mechanism.ECDH1_DERIVE,
        mechanism_param=(KDF.NULL, None, request.input),
        template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    try:
        return bytes(derived[Attribute.VALUE]).rjust(request.algorithm.size, b"\0")
    finally:
        derived.destroy()


def _not_for(request: KeyRequest) -> KeyMissingError:
    return KeyMissingError(f"The card's key {request.slot:02X} may not {request.operation}.")


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
