"""The private keys of a software card."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from sra.cards.software import software_keys as keys
from sra.errors import CardError, KeyMissingError
from sra.piv.keys import Algorithm, Operation

CURVES = {Algorithm.P256: ec.SECP256R1(), Algorithm.P384: ec.SECP384R1()}
PRIVATE = {algorithm: keys.generate(algorithm) for algorithm in (Algorithm.RSA_2048, *CURVES)}


def loaded(algorithm: Algorithm) -> keys.UsableKey:
    return keys.load(algorithm, keys.encode(PRIVATE[algorithm]))


def ec_public(algorithm: Algorithm) -> ec.EllipticCurvePublicKey:
    public = PRIVATE[algorithm].public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public


def point_of(private: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = private.public_key().public_numbers()
    size = (private.curve.key_size + 7) // 8
    return b"\4" + numbers.x.to_bytes(size) + numbers.y.to_bytes(size)


@pytest.mark.parametrize(
    ("algorithm", "hashed"),
    [
        (Algorithm.P256, hashes.SHA224()),
        (Algorithm.P256, hashes.SHA256()),
        (Algorithm.P384, hashes.SHA224()),
        (Algorithm.P384, hashes.SHA256()),
        (Algorithm.P384, hashes.SHA384()),
    ],
)
def test_signatures_of_digests_up_to_the_curve_s_size_verify(
    algorithm: Algorithm, hashed: hashes.HashAlgorithm
) -> None:
    digest = b"\xab" * hashed.digest_size
    signature = loaded(algorithm).use(Operation.SIGN, digest)
    ec_public(algorithm).verify(signature, digest, ec.ECDSA(utils.Prehashed(hashed)))


@pytest.mark.parametrize("algorithm", CURVES)
@pytest.mark.parametrize("size", [0, 49, 64])
def test_digests_of_other_sizes_are_refused(algorithm: Algorithm, size: int) -> None:
    with pytest.raises(CardError, match="A digest for this key"):
        loaded(algorithm).use(Operation.SIGN, b"\1" * size)


@pytest.mark.parametrize(("algorithm", "curve"), CURVES.items())
def test_both_sides_derive_the_same_secret(algorithm: Algorithm, curve: ec.EllipticCurve) -> None:
    peer = ec.generate_private_key(curve)
    secret = loaded(algorithm).use(Operation.DERIVE, point_of(peer))
    assert secret == peer.exchange(ec.ECDH(), ec_public(algorithm))
    assert len(secret) == algorithm.size


@pytest.mark.parametrize("point", [b"", b"\4", b"\0", b"\4" + bytes(64), b"\4" + b"\xff" * 64, bytes(65)])
def test_points_that_are_not_on_the_curve_are_refused(point: bytes) -> None:
    with pytest.raises(CardError, match="not on the curve"):
        loaded(Algorithm.P256).use(Operation.DERIVE, point)


def test_a_point_of_the_other_curve_is_refused() -> None:
    with pytest.raises(CardError, match="not on the curve"):
        loaded(Algorithm.P256).use(Operation.DERIVE, point_of(ec.generate_private_key(ec.SECP384R1())))


def test_no_key_does_what_its_kind_can_not_do() -> None:
    with pytest.raises(KeyMissingError):
        loaded(Algorithm.RSA_2048).use(Operation.DERIVE, bytes(256))
    with pytest.raises(KeyMissingError):
        loaded(Algorithm.P256).use(Operation.DECRYPT, bytes(32))


def test_signing_and_decrypting_with_rsa_are_one_operation() -> None:
    block = b"\0" + b"x" * 255
    key = loaded(Algorithm.RSA_2048)
    assert key.use(Operation.SIGN, block) == key.use(Operation.DECRYPT, block)


@pytest.mark.parametrize("algorithm", CURVES)
def test_a_key_of_another_kind_is_damage(algorithm: Algorithm) -> None:
    for other in PRIVATE.keys() - {algorithm}:
        with pytest.raises(CardError, match="damaged"):
            keys.load(algorithm, keys.encode(PRIVATE[other]))


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_rubbish_is_damage(algorithm: Algorithm) -> None:
    with pytest.raises(CardError, match="damaged"):
        keys.load(algorithm, b"rubbish")


def test_an_rsa_key_of_another_size_is_never_used() -> None:
    with pytest.raises(CardError):
        keys.load(Algorithm.RSA_3072, keys.encode(PRIVATE[Algorithm.RSA_2048])).use(Operation.SIGN, bytes(384))
