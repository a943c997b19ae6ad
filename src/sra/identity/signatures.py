"""Signatures under revocation lists and OCSP responses: which ones count, and whether one is right.

And the length of RSA signatures, of whatever kind: OpenSSL leaves it unchecked except for PKCS #1 v1.5 with a hash.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import Certificate

MIN_RSA_BITS = 2048

Scheme = padding.PKCS1v15 | padding.PSS | ec.ECDSA

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""SHA-1 is forgeable, so it is not here."""


def is_signed(
    signed: bytes, signature: bytes, scheme: Scheme | None, digest: hashes.HashAlgorithm | None, signer: Certificate
) -> bool:
    """Whether the signer's key made this signature, in a way that counts."""
    key = signer.public_key()
    if not isinstance(digest, _HASHES):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey) and isinstance(scheme, padding.PKCS1v15 | padding.PSS):
            key.verify(signature, signed, scheme, digest)
            return is_of_full_length(signature, key) and key.key_size >= MIN_RSA_BITS
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(scheme, ec.ECDSA):
            key.verify(signature, signed, ec.ECDSA(digest))
            return True
    except InvalidSignature:
        return False
    return False


def is_of_full_length(signature: bytes, key: rsa.RSAPublicKey) -> bool:
    """Whether an RSA signature is as long as the modulus (RFC 8017, 8.1.2 and 8.2.2), so that it has one form only.

    Without this, one that begins with a zero byte, as one in 256 does, would be right without that byte too.
    """
    return len(signature) == (key.key_size + 7) // 8


def is_strong(certificate: Certificate) -> bool:
    """Whether a certificate is signed with a hash that counts."""
    return isinstance(certificate.signature_hash_algorithm, _HASHES)
