"""Sealing under the card secret, the PIN and the PUK."""

from __future__ import annotations

import pytest

from sra.cards.software import vault

SECRET = b"s" * vault.SECRET_SIZE


def test_what_was_sealed_comes_out_again() -> None:
    assert vault.unseal(SECRET, vault.seal(SECRET, b"key", b"9A"), b"9A") == b"key"


def test_the_same_content_is_never_sealed_the_same_way_twice() -> None:
    assert vault.seal(SECRET, b"key", b"9A") != vault.seal(SECRET, b"key", b"9A")


def test_another_secret_opens_nothing() -> None:
    assert vault.unseal(b"t" * vault.SECRET_SIZE, vault.seal(SECRET, b"key", b"9A"), b"9A") is None


def test_a_key_can_not_be_put_into_another_slot() -> None:
    assert vault.unseal(SECRET, vault.seal(SECRET, b"key", b"9A"), b"9C") is None


def test_no_bit_can_be_changed() -> None:
    sealed = vault.seal(SECRET, b"key", b"9A")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        assert vault.unseal(SECRET, bytes(changed), b"9A") is None


@pytest.mark.parametrize("size", range(12 + 16))
def test_what_is_too_short_opens_nothing(size: int) -> None:
    assert vault.unseal(SECRET, b"\0" * size, b"9A") is None


def test_only_the_code_opens_the_secret() -> None:
    sealed = vault.seal_under_code(b"123456", SECRET, b"guid")
    assert vault.unseal_under_code(b"123456", sealed, b"guid") == SECRET
    assert vault.unseal_under_code(b"123457", sealed, b"guid") is None
    assert vault.unseal_under_code(b"123456", sealed, b"other") is None


def test_new_secrets_differ() -> None:
    assert len({vault.new_secret() for _ in range(100)}) == 100
