"""The challenge that a card signs to authenticate a connection, and how it is told apart from every other key use.

The statement binds the TLS certificate that the admin *saw*, so a proof given to one machine is worth nothing at
another. Below the hash it carries a tag that no ordinary signature has: for RSA the padded block has no DigestInfo,
for elliptic curves the "digest" begins with it. The admin's guard refuses a remote's request that carries the tag.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from sra.identity.certificates import CardCertificate
from sra.identity.x509_reading import is_of_full_length
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot

TAG = b"SRA-CHALLENGE-V1"
"""In front of the statement in an RSA block and on P-384 (16 bytes)."""
SHORT_TAG = b"SRA-CHAL"
"""The same on P-256, where 32 bytes are all there is (8 bytes); ``TAG`` begins with it."""

_PURPOSE = b"sra-authentication-v1"
_EC_HASHES: dict[Algorithm, hashes.HashAlgorithm] = {Algorithm.P256: hashes.SHA256(), Algorithm.P384: hashes.SHA384()}


def statement(server_certificate: bytes, remote_nonce: bytes, admin_nonce: bytes, card_certificate: bytes) -> bytes:
    """The 32 bytes that are signed: certificates in DER, nonces of 32 bytes."""
    certificates = [hashlib.sha256(der).digest() for der in (server_certificate, card_certificate)]
    return hashlib.sha256(_PURPOSE + certificates[0] + remote_nonce + admin_nonce + certificates[1]).digest()


def key_request(algorithm: Algorithm, signed: bytes) -> KeyRequest:
    """The key use that makes the proof for the statement ``signed``, by a 9A key of this algorithm."""
    return KeyRequest(Slot.AUTHENTICATION, algorithm, Operation.SIGN, _input(algorithm, signed))


def _input(algorithm: Algorithm, signed: bytes) -> bytes:
    if algorithm is Algorithm.P256:
        return SHORT_TAG + signed[: algorithm.size - len(SHORT_TAG)]
    if algorithm is Algorithm.P384:
        return TAG + signed
    content = TAG + signed
    return b"\x00\x01" + b"\xff" * (algorithm.size - len(content) - 3) + b"\x00" + content


def is_proven(certificate: CardCertificate, signed: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the certificate's key's proof for the statement ``signed``."""
    key = certificate.public_key
    try:
        if isinstance(key, rsa.RSAPublicKey):
            # RFC 8017, 8.2.2 without a DigestInfo: what comes out of the padding is the content itself.
            content = key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
            return is_of_full_length(signature, key) and content == TAG + signed
        digest_kind = utils.Prehashed(_EC_HASHES[certificate.algorithm])
        key.verify(signature, _input(certificate.algorithm, signed), ec.ECDSA(digest_kind))
    except InvalidSignature:
        return False
    return True


def carries_tag(request: KeyRequest) -> bool:
    """Whether the card would sign something that could pass for a proof."""
    return SHORT_TAG in request.input
