"""The challenge: what is signed for it, who has proven what, and that nothing else can pass for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from hypothesis import given, settings
from hypothesis import strategies as st

from sra.identity import certificates, challenges
from sra.identity.certificates import CardCertificate
from sra.piv.keys import Algorithm, KeyRequest, Operation, Slot
from tests.memory_card import make_certificate, private_key
from tests.memory_card import sign as use_key

ALGORITHMS = [Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096, Algorithm.P256, Algorithm.P384]
INGREDIENTS = {
    "server_certificate": b"server certificate",
    "remote_nonce": bytes(32),
    "admin_nonce": bytes([1]) * 32,
    "card_certificate": b"card certificate",
}
SIGNED = challenges.statement(**INGREDIENTS)
Spoil = Callable[[bytes], bytes]
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.name)


def certificate_of(algorithm: Algorithm, owner: str = "ann") -> CardCertificate:
    return certificates.parse(make_certificate(private_key(algorithm, owner)))


def proof(algorithm: Algorithm, signed: bytes = SIGNED, owner: str = "ann") -> bytes:
    return use_key(challenges.key_request(algorithm, signed), owner)


def test_the_statement_is_a_sha_256() -> None:
    assert len(SIGNED) == 32
    assert challenges.statement(**INGREDIENTS) == SIGNED


@pytest.mark.parametrize("name", INGREDIENTS)
def test_the_statement_differs_by_each_ingredient(name: str) -> None:
    changed = INGREDIENTS[name][:-1] + b"\x7f"
    assert challenges.statement(**INGREDIENTS | {name: changed}) != SIGNED


def test_the_ingredients_cannot_change_places() -> None:
    nonces = {"remote_nonce": INGREDIENTS["admin_nonce"], "admin_nonce": INGREDIENTS["remote_nonce"]}
    shown = {
        "server_certificate": INGREDIENTS["card_certificate"],
        "card_certificate": INGREDIENTS["server_certificate"],
    }
    assert len({SIGNED, challenges.statement(**INGREDIENTS | nonces), challenges.statement(**INGREDIENTS | shown)}) == 3


@each_algorithm
def test_the_cards_signature_proves_it(algorithm: Algorithm) -> None:
    assert challenges.is_proven(certificate_of(algorithm), SIGNED, proof(algorithm))


@each_algorithm
def test_it_is_no_proof_of_another_statement(algorithm: Algorithm) -> None:
    for other in (SIGNED[:-9] + bytes([SIGNED[-9] ^ 1]) + SIGNED[-8:], bytes(32)):
        assert not challenges.is_proven(certificate_of(algorithm), other, proof(algorithm)), other


@pytest.mark.parametrize("algorithm", [Algorithm.RSA_2048, Algorithm.P256, Algorithm.P384], ids=lambda each: each.name)
def test_another_key_proves_nothing(algorithm: Algorithm) -> None:
    assert not challenges.is_proven(certificate_of(algorithm), SIGNED, proof(algorithm, owner="bob"))


def test_a_proof_of_another_kind_of_key_proves_nothing() -> None:
    for shown in ALGORITHMS:
        for used in ALGORITHMS:
            assert challenges.is_proven(certificate_of(shown), SIGNED, proof(used)) is (shown is used)


@each_algorithm
@pytest.mark.parametrize(
    "spoil",
    [
        lambda signature: b"",
        lambda signature: signature[:-1],
        lambda signature: signature[1:],
        lambda signature: b"\x00" + signature,
        lambda signature: signature + b"\x00",
        lambda signature: signature[:-1] + bytes([signature[-1] ^ 1]),
        lambda signature: bytes(len(signature)),
        lambda signature: b"\xff" * len(signature),
        lambda signature: signature * 2,
        lambda signature: b"\xff" * 100_000,
        lambda signature: b"\x30\x84\xff\xff\xff\xff" + signature,
        lambda signature: b"\x30\x06\x02\x01\x00\x02\x01\x00",
        lambda signature: b"\x30\x06\x02\x01\xff\x02\x01\xff",
    ],
    ids=[
        "empty", "cut-short", "without-the-first-byte", "longer-in-front", "longer", "one-bit", "zeros", "ones",
        "twice", "huge", "a-huge-length", "r-and-s-of-zero", "negative",
    ],
)  # fmt: skip
def test_a_spoilt_signature_is_no_proof_and_no_error(algorithm: Algorithm, spoil: Spoil) -> None:
    assert challenges.is_proven(certificate_of(algorithm), SIGNED, spoil(proof(algorithm))) is False


def test_a_signature_that_begins_with_a_zero_byte_is_a_proof_with_that_byte_only() -> None:
    algorithm = Algorithm.RSA_2048
    statements = (hashlib.sha256(b"%d" % number).digest() for number in count())
    signed, signature = next(
        (signed, made) for signed in statements if (made := proof(algorithm, signed)).startswith(b"\x00")
    )
    assert challenges.is_proven(certificate_of(algorithm), signed, signature) is True
    assert challenges.is_proven(certificate_of(algorithm), signed, signature[1:]) is False


@settings(max_examples=60)
@given(algorithm=st.sampled_from(ALGORITHMS), signature=st.binary(max_size=600))
def test_garbage_is_no_proof_and_no_error(algorithm: Algorithm, signature: bytes) -> None:
    assert challenges.is_proven(certificate_of(algorithm), SIGNED, signature) is False


@pytest.mark.parametrize("algorithm", [each for each in ALGORITHMS if each.is_rsa], ids=lambda each: each.name)
def test_an_ordinary_rsa_signature_of_the_same_bytes_is_no_proof(algorithm: Algorithm) -> None:
    private = private_key(algorithm)
    assert isinstance(private, rsa.RSAPrivateKey)
    certificate = certificate_of(algorithm)
    for signed in (SIGNED, challenges.TAG + SIGNED):
        with_digest_info = private.sign(signed, padding.PKCS1v15(), SHA256())
        pss = private.sign(signed, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
        assert not challenges.is_proven(certificate, SIGNED, with_digest_info)
        assert not challenges.is_proven(certificate, SIGNED, pss)


@pytest.mark.parametrize("algorithm", [Algorithm.P256, Algorithm.P384], ids=lambda each: each.name)
def test_an_ordinary_ec_signature_of_the_same_bytes_is_no_proof(algorithm: Algorithm) -> None:
    private = private_key(algorithm)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    hashed = ec.ECDSA(SHA256() if algorithm is Algorithm.P256 else SHA384())
    for signed in (SIGNED, challenges.TAG + SIGNED):
        assert not challenges.is_proven(certificate_of(algorithm), SIGNED, private.sign(signed, hashed))


@each_algorithm
def test_the_key_use_for_a_proof_carries_the_tag(algorithm: Algorithm) -> None:
    request = challenges.key_request(algorithm, SIGNED)
    assert (request.slot, request.operation) == (Slot.AUTHENTICATION, Operation.SIGN)
    assert len(request.input) == algorithm.size
    assert challenges.carries_tag(request)


@each_algorithm
def test_an_ordinary_key_use_does_not_carry_it(algorithm: Algorithm) -> None:
    plain = KeyRequest(Slot.AUTHENTICATION, algorithm, Operation.SIGN, bytes(range(128)) * 4)
    assert not challenges.carries_tag(plain)
