"""Which blocks are signatures: made by a library that others use, and everything else refused."""

from __future__ import annotations

from typing import cast

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from sra.admin.guard import signing_blocks
from sra.admin.guard.signing_blocks import Signed
from sra.identity import challenges
from sra.piv.keys import Algorithm
from tests.memory_card import private_key

SIZES = {Algorithm.RSA_2048: 2048, Algorithm.RSA_3072: 3072, Algorithm.RSA_4096: 4096}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - what is signed is decided by the remote's programs
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
    "sha3-256": hashes.SHA3_256(),
    "sha3-384": hashes.SHA3_384(),
    "sha3-512": hashes.SHA3_512(),
}
PSS_HASHES = ["sha1", "sha224", "sha256", "sha384", "sha512"]
TEXT = b"what is signed"
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
DIGEST = bytes(range(32))


def key(algorithm: Algorithm = Algorithm.RSA_2048) -> rsa.RSAPrivateKey:
    return cast("rsa.RSAPrivateKey", private_key(algorithm))


def block_in(private: rsa.RSAPrivateKey, signature: bytes) -> bytes:
    """The block that the card was given for this signature."""
    numbers = private.public_key().public_numbers()
    return pow(int.from_bytes(signature, "big"), numbers.e, numbers.n).to_bytes(len(signature), "big")


def digest_of(name: str) -> bytes:
    hasher = hashes.Hash(HASHES[name])
    hasher.update(TEXT)
    return hasher.finalize()


def pkcs1(content: bytes, *, fill: bytes | None = None, head: bytes = b"\x00\x01", size: int = 256) -> bytes:
    filling = b"\xff" * (size - len(content) - 3) if fill is None else fill
    return head + filling + b"\x00" + content


def pss_block(name: str, salt: int, algorithm: Algorithm = Algorithm.RSA_2048) -> bytes:
    hashed = HASHES[name]
    signature = key(algorithm).sign(TEXT, padding.PSS(padding.MGF1(hashed), salt), hashed)
    return block_in(key(algorithm), signature)


@pytest.mark.parametrize("algorithm", SIZES, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("name", HASHES)
def test_a_pkcs1_signature_tells_what_it_signs(name: str, algorithm: Algorithm) -> None:
    signature = key(algorithm).sign(TEXT, padding.PKCS1v15(), HASHES[name])
    assert signing_blocks.read_rsa(block_in(key(algorithm), signature)) == Signed(name, digest_of(name))


@pytest.mark.parametrize(
    ("name", "info", "length"),
    [
        ("md5", "3020300c06082a864886f70d020505000410", 16),
        ("ripemd160", "3021300906052b2403020105000414", 20),
    ],
)
def test_old_hashes_are_named_as_well(name: str, info: str, length: int) -> None:
    assert signing_blocks.read_rsa(pkcs1(bytes.fromhex(info) + bytes(length))) == Signed(name, bytes(length))


@pytest.mark.parametrize(
    "block",
    [
        pkcs1(SHA256_INFO + DIGEST[:-1]),
        pkcs1(SHA256_INFO + DIGEST + b"\x00"),
        pkcs1(SHA256_INFO),
        pkcs1(DIGEST),
        pkcs1(b""),
        pkcs1(bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + DIGEST),
        pkcs1(SHA256_INFO + DIGEST, fill=b"\xff" * 7),
        pkcs1(SHA256_INFO + DIGEST, fill=b""),
        pkcs1(SHA256_INFO + DIGEST, fill=b"\xff" * 100 + b"\xfe" + b"\xff" * 101),
        pkcs1(SHA256_INFO + DIGEST, fill=b"\xff" * 150 + b"\x00" + b"\xff" * 51),
        pkcs1(SHA256_INFO + DIGEST, head=b"\x00\x02"),
        pkcs1(SHA256_INFO + DIGEST, head=b"\x00\x00"),
        pkcs1(SHA256_INFO + DIGEST, head=b"\x01\x01"),
        pkcs1(SHA256_INFO + DIGEST)[1:],
        pkcs1(SHA256_INFO + DIGEST + bytes(100), fill=b"\xff" * 102),
        b"\x00\x01" + b"\xff" * 254,
    ],
    ids=[
        "digest-too-short", "trailing-byte", "no-digest", "no-digest-info", "nothing", "no-null", "seven-fill-bytes",
        "no-fill", "not-ff-in-the-fill", "zero-in-the-fill", "type-2", "type-0", "not-below-the-modulus",
        "no-leading-zero", "room-for-a-forgery", "only-fill",
    ],
)  # fmt: skip
def test_what_is_not_exactly_pkcs1_is_refused(block: bytes) -> None:
    assert signing_blocks.read_rsa(block) is None


@pytest.mark.parametrize("algorithm", SIZES, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("name", PSS_HASHES)
def test_a_pss_signature_with_a_salt_as_long_as_its_hash_is_one(name: str, algorithm: Algorithm) -> None:
    block = pss_block(name, HASHES[name].digest_size, algorithm)
    assert signing_blocks.read_rsa(block) == Signed(f"pss-{name}", b"")


@pytest.mark.parametrize("algorithm", SIZES, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("name", PSS_HASHES)
def test_a_pss_signature_may_have_a_shorter_salt_and_no_longer_one(name: str, algorithm: Algorithm) -> None:
    length = HASHES[name].digest_size
    for salt in (0, 1, length - 1):
        assert signing_blocks.read_rsa(pss_block(name, salt, algorithm)) == Signed(f"pss-{name}", b"")
    longest = padding.calculate_max_pss_salt_length(key(algorithm), HASHES[name])
    for salt in (length + 1, 2 * length, longest - 16, longest):
        block = pss_block(name, salt, algorithm)
        assert signing_blocks.read_rsa(block) is None
        assert "openssl: -sigopt rsa_pss_saltlen:digest" in signing_blocks.why_not(block)


@pytest.mark.parametrize(("mask", "name"), [("sha1", "sha256"), ("sha256", "sha512"), ("sha512", "sha384")])
def test_the_mask_of_a_pss_signature_may_be_made_with_another_hash(mask: str, name: str) -> None:
    private, hashed = key(), HASHES[name]
    for salt in (0, hashed.digest_size, hashed.digest_size + 1):
        signature = private.sign(TEXT, padding.PSS(padding.MGF1(HASHES[mask]), salt), hashed)
        read = signing_blocks.read_rsa(block_in(private, signature))
        assert read == (Signed(f"pss-{name}", b"") if salt <= hashed.digest_size else None)


def test_a_sha3_mask_is_known_too() -> None:
    hashed = HASHES["sha3-256"]
    signature = key().sign(TEXT, padding.PSS(padding.MGF1(hashed), 32), hashed)
    assert signing_blocks.read_rsa(block_in(key(), signature)) == Signed("pss-sha3-256", b"")


@pytest.mark.parametrize("bits", [2041, 2044, 2047])
def test_the_encodings_of_an_odd_modulus_are_not_read(bits: int) -> None:
    private = rsa.generate_private_key(65537, bits)
    signature = private.sign(TEXT, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    block = block_in(private, signature)
    read = signing_blocks.read_rsa(block)
    assert read is None or bits == 2047, "whose encoding has a bit less, and would be read if that is zero"


def test_why_a_block_is_refused_is_said_and_nothing_about_a_salt_where_there_is_none() -> None:
    for block in (pkcs1(DIGEST), bytes(256), b"", pkcs1(SHA256_INFO + DIGEST)[:-1] + b"\xbc"):
        assert "no hash in a known form" in signing_blocks.why_not(block)


@pytest.mark.parametrize("place", [0, 5, 189, 190, 223, 254, 255])
def test_a_pss_block_with_one_bit_changed_outside_its_salt_is_refused(place: int) -> None:
    block = bytearray(pss_block("sha256", 32))
    block[place] ^= 0x80
    assert signing_blocks.read_rsa(bytes(block)) is None


@pytest.mark.parametrize("algorithm", SIZES, ids=lambda algorithm: algorithm.name)
def test_a_challenge_is_no_signature(algorithm: Algorithm) -> None:
    for last in (0x00, 0xBC, 0x20):
        request = challenges.key_request(algorithm, bytes(31) + bytes([last]))
        assert signing_blocks.read_rsa(request.input) is None


def test_a_blinded_challenge_is_no_signature() -> None:
    numbers = key().public_key().public_numbers()
    block = int.from_bytes(challenges.key_request(Algorithm.RSA_2048, DIGEST).input, "big")
    for factor in range(2, 200):
        blinded = block * pow(factor, numbers.e, numbers.n) % numbers.n
        assert signing_blocks.read_rsa(blinded.to_bytes(256, "big")) is None


@given(block=st.binary(min_size=256, max_size=256))
def test_a_random_block_is_no_signature(block: bytes) -> None:
    assert signing_blocks.read_rsa(block) is None
    assert signing_blocks.read_rsa(b"\x00" + block[1:-1] + b"\xbc") is None
    assert signing_blocks.read_rsa(b"\x00\x01" + block[2:]) is None


@given(block=st.binary(max_size=80))
def test_a_short_block_is_no_signature_and_no_error(block: bytes) -> None:
    assert signing_blocks.read_rsa(block) is None
    assert signing_blocks.read_rsa(block + b"\xbc") is None


@pytest.mark.parametrize(
    ("length", "name"), [(20, "sha1"), (28, "sha224"), (32, "sha256"), (48, "sha384"), (64, "sha512")]
)
def test_a_digest_for_a_curve_is_known_by_its_length(length: int, name: str) -> None:
    assert signing_blocks.read_ec(bytes(length)) == Signed(name, bytes(length))


@pytest.mark.parametrize("length", [0, 1, 16, 19, 21, 31, 33, 36, 47, 49, 65])
def test_no_hash_has_another_length(length: int) -> None:
    assert signing_blocks.read_ec(bytes(length)) is None
