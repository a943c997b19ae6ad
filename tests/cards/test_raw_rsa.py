"""The RSA private operation on any block."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

from sra.cards.software.software_keys import RawRsaKey
from sra.errors import CardError

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = PRIVATE.public_key().public_numbers()
SIZE = 256


def raw(private: rsa.RSAPrivateKey) -> RawRsaKey:
    encoded = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return RawRsaKey(encoded, private.key_size // 8)


def public_operation(block: bytes) -> bytes:
    return pow(int.from_bytes(block), PUBLIC.e, PUBLIC.n).to_bytes(SIZE)


@pytest.mark.parametrize(
    "how",
    [padding.PKCS1v15(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), padding.PSS(padding.MGF1(hashes.SHA512()), 0)],
)
def test_the_block_of_any_signature_gives_that_signature(how: AsymmetricPadding) -> None:
    signature = PRIVATE.sign(b"hello", how, hashes.SHA256())
    assert raw(PRIVATE).use(public_operation(signature)) == signature


def test_a_ciphertext_gives_the_padded_message() -> None:
    ciphertext = PRIVATE.public_key().encrypt(b"hello", padding.PKCS1v15())
    block = raw(PRIVATE).use(ciphertext)
    assert block[:2] == b"\0\2"
    assert block.endswith(b"\0hello")


def test_an_oaep_ciphertext_gives_a_block_that_encrypts_to_it_again() -> None:
    how = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    ciphertext = PRIVATE.public_key().encrypt(b"hello", how)
    assert public_operation(raw(PRIVATE).use(ciphertext)) == ciphertext


@pytest.mark.parametrize("value", [0, 1, PUBLIC.n - 1], ids=["zero", "one", "largest"])
def test_the_smallest_and_largest_blocks_work(value: int) -> None:
    block = value.to_bytes(SIZE)
    assert public_operation(raw(PRIVATE).use(block)) == block


@pytest.mark.parametrize("block", [PUBLIC.n.to_bytes(SIZE), b"\xff" * SIZE])
def test_a_block_that_is_not_below_the_modulus_is_refused(block: bytes) -> None:
    with pytest.raises(CardError, match="not below the key's modulus"):
        raw(PRIVATE).use(block)


@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE + 1, 2 * SIZE])
def test_a_block_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(CardError, match="256 bytes"):
        raw(PRIVATE).use(b"\0" * size)


def test_a_result_that_does_not_verify_never_leaves() -> None:
    good = PRIVATE.private_numbers()
    spoilt = rsa.RSAPrivateNumbers(
        good.p, good.q, good.d + 2, (good.d + 2) % (good.p - 1), (good.d + 2) % (good.q - 1), good.iqmp, PUBLIC
    ).private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(CardError, match="did not verify"):
        raw(spoilt).use(b"\0" + b"x" * (SIZE - 1))


def test_a_fault_in_one_half_never_leaves() -> None:
    good = PRIVATE.private_numbers()
    spoilt = rsa.RSAPrivateNumbers(good.p, good.q, good.d + 2, good.dmp1 ^ 2, good.dmq1, good.iqmp, PUBLIC).private_key(
        unsafe_skip_rsa_key_validation=True
    )
    with pytest.raises(CardError, match="did not verify"):
        raw(spoilt).use(b"\0" + b"x" * (SIZE - 1))


@pytest.mark.parametrize("encoded", [b"", b"\x30", b"not a key at all", bytes(1000)])
def test_what_is_no_key_is_refused(encoded: bytes) -> None:
    with pytest.raises(CardError, match="damaged"):
        RawRsaKey(encoded, SIZE)
