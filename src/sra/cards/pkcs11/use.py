"""Having a key behind a PKCS#11 module do what GENERAL AUTHENTICATE asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import pkcs11
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import KDF, Attribute, KeyType, Mechanism

from sra.cards.pkcs11.rsa import restore_encryption_padding, strip_signature_padding
from sra.errors import KeyMissingError
from sra.piv.keys import KeyRequest, Operation

KEY_TYPES = {True: KeyType.RSA, False: KeyType.EC}
"""By whether the algorithm is an RSA one."""


def use(key: pkcs11.PrivateKey, request: KeyRequest, mechanisms: Collection[Mechanism], pin: str | None) -> bytes:
    """What the key makes of the input; ``pin`` is given for a key that always wants it."""
    if request.operation is Operation.DERIVE:
        return _derive(key, request)
    if request.operation is Operation.DECRYPT:
        return _decrypt(key, request, Mechanism.RSA_X_509 in mechanisms, pin)
    if not request.algorithm.is_rsa:
        return _sign_ec(key, request, pin)
    return _sign_rsa(key, request, Mechanism.RSA_X_509 in mechanisms, pin)


def _sign_rsa(key: pkcs11.PrivateKey, request: KeyRequest, raw: bool, pin: str | None) -> bytes:
    if raw:
        return _sign(key, request, request.input, Mechanism.RSA_X_509, pin).rjust(request.algorithm.size, b"\0")
    return _sign(key, request, strip_signature_padding(request.input), Mechanism.RSA_PKCS, pin)


def _sign_ec(key: pkcs11.PrivateKey, request: KeyRequest, pin: str | None) -> bytes:
    """The DER of a card, made of the two numbers that the module puts one after the other."""
    both = _sign(key, request, request.input, Mechanism.ECDSA, pin)
    half = len(both) // 2
    return encode_dss_signature(int.from_bytes(both[:half], "big"), int.from_bytes(both[half:], "big"))


def _sign(key: pkcs11.PrivateKey, request: KeyRequest, data: bytes, mechanism: Mechanism, pin: str | None) -> bytes:
    if not isinstance(key, pkcs11.SignMixin):
        raise _not_for(request)
    return key.sign(data, mechanism=mechanism, pin=pin)


def _decrypt(key: pkcs11.PrivateKey, request: KeyRequest, raw: bool, pin: str | None) -> bytes:
    if not isinstance(key, pkcs11.DecryptMixin):
        raise _not_for(request)
    mechanism = Mechanism.RSA_X_509 if raw else Mechanism.RSA_PKCS
    content = b"".join(_whole(key.decrypt(request.input, mechanism=mechanism, pin=pin)))
    size = request.algorithm.size
    return content.rjust(size, b"\0") if raw else restore_encryption_padding(content, size)


def _whole(content: bytes | Iterator[bytes]) -> Iterable[bytes]:
    """The library gives an iterator only to who gives it one."""
    return [content] if isinstance(content, bytes) else content


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
