"""Blocks for cards that pad by themselves."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from sra.cards.pkcs11.use import restore_encryption_padding, strip_signature_padding
from sra.errors import CardError, KeyMissingError
from sra.piv.keys import Algorithm
from tests.memory_card import private_key

SIZE = 128


@pytest.mark.parametrize("content", [b"SRA-CHALLENGE-V1" + bytes(32), b"", b"x" * (SIZE - 11), b"\xff\0\xff"])
def test_what_is_signed_comes_out_of_its_padding(content: bytes) -> None:
    block = b"\0\1" + b"\xff" * (SIZE - 3 - len(content)) + b"\0" + content
    assert strip_signature_padding(block) == content


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\0\1",
        bytes(SIZE),
        b"\0\2" + b"\xff" * 100 + b"\0" + b"x" * 25,
        b"\0\1" + b"\xff" * 7 + b"\0" + b"x" * 118,
        b"\0\1" + b"\xff" * 50 + b"\xfe" + b"\0" + b"x" * 75,
        b"\0\1" + b"\xff" * 126,
    ],
)
def test_any_other_block_is_refused_in_so_many_words(block: bytes) -> None:
    with pytest.raises(KeyMissingError, match="and this is none"):
        strip_signature_padding(block)


def test_a_pss_block_is_no_pkcs1_block() -> None:
    private = private_key(Algorithm.RSA_2048)
    assert isinstance(private, rsa.RSAPrivateKey)
    signature = private.sign(b"text", padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    numbers = private.public_key().public_numbers()
    block = pow(int.from_bytes(signature), numbers.e, numbers.n).to_bytes(256)
    with pytest.raises(KeyMissingError, match="PSS"):
        strip_signature_padding(block)


@pytest.mark.parametrize("content", [b"", b"text", b"x" * (SIZE - 11)])
def test_what_was_decrypted_is_put_into_a_block_again(content: bytes) -> None:
    block = restore_encryption_padding(content, SIZE)
    assert len(block) == SIZE
    assert block[:2] == b"\0\2"
    fill, _, rest = block[2:].partition(b"\0")
    assert len(fill) >= 8
    assert rest == content


def test_more_than_a_block_holds_is_an_error() -> None:
    with pytest.raises(CardError, match="longer"):
        restore_encryption_padding(b"x" * (SIZE - 10), SIZE)
