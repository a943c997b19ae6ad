"""Which algorithm a key has, from its certificate."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sra.errors import CardError
from sra.piv.keys import Algorithm

_RSA = {8 * algorithm.size: algorithm for algorithm in Algorithm if algorithm.is_rsa}
_CURVES = {"secp256r1": Algorithm.P256, "secp384r1": Algorithm.P384}


def algorithm_of(certificate: bytes) -> Algorithm | None:
    """The PIV algorithm of the key in a DER certificate, ``None`` for any other; raise ``CardError`` if damaged."""
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except UnsupportedAlgorithm:
        return None
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise CardError("A certificate of the card is damaged.") from error
    if isinstance(public, rsa.RSAPublicKey):
        return _RSA.get(public.key_size)
    return _CURVES.get(public.curve.name) if isinstance(public, ec.EllipticCurvePublicKey) else None
