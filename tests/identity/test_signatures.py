from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

from sra.identity.signatures import Scheme, is_signed
from tests.chains import key, root

EC = root()
PRIVATE = rsa.generate_private_key(65537, 2048)
RSA = root("RSA", own=PRIVATE)
PSS = padding.PSS(padding.MGF1(SHA256()), 32)


@pytest.mark.parametrize("digest", [SHA256(), SHA384(), SHA512()])
def test_right_signatures_count(digest: HashAlgorithm) -> None:
    signature = key("Root").sign(b"signed", ec.ECDSA(digest))
    assert is_signed(b"signed", signature, ec.ECDSA(digest), digest, EC.certificate)
    for scheme in (padding.PKCS1v15(), PSS):
        signature = PRIVATE.sign(b"signed", scheme, digest)
        assert is_signed(b"signed", signature, scheme, digest, RSA.certificate)


def test_wrong_signatures_do_not() -> None:
    signature = key("Root").sign(b"signed", ec.ECDSA(SHA256()))
    assert not is_signed(b"another", signature, ec.ECDSA(SHA256()), SHA256(), EC.certificate)
    assert not is_signed(b"signed", b"", ec.ECDSA(SHA256()), SHA256(), EC.certificate)
    signature = PRIVATE.sign(b"signed", padding.PKCS1v15(), SHA256())
    assert not is_signed(b"signed", signature, PSS, SHA256(), RSA.certificate)
    assert not is_signed(b"signed", signature[:-1], padding.PKCS1v15(), SHA256(), RSA.certificate)


@pytest.mark.parametrize("scheme", [padding.PKCS1v15(), PSS], ids=["pkcs1", "pss"])
def test_an_rsa_signature_that_begins_with_a_zero_byte_has_it(scheme: padding.PKCS1v15 | padding.PSS) -> None:
    messages = (b"%d" % number for number in count())
    signed, signature = next(
        (signed, made) for signed in messages if (made := PRIVATE.sign(signed, scheme, SHA256())).startswith(b"\x00")
    )
    assert is_signed(signed, signature, scheme, SHA256(), RSA.certificate)
    assert not is_signed(signed, signature[1:], scheme, SHA256(), RSA.certificate)


@pytest.mark.parametrize("scheme", [padding.PKCS1v15(), PSS, ec.ECDSA(SHA256()), None])
def test_a_scheme_of_another_kind_of_key_does_not_count(scheme: Scheme | None) -> None:
    signature = key("Root").sign(b"signed", ec.ECDSA(SHA256()))
    is_right = isinstance(scheme, ec.ECDSA)
    assert is_signed(b"signed", signature, scheme, SHA256(), EC.certificate) is is_right
    assert not is_signed(b"signed", signature, scheme, SHA256(), RSA.certificate)


def test_sha_1_no_hash_and_short_keys_do_not_count() -> None:
    signature = PRIVATE.sign(b"signed", padding.PKCS1v15(), SHA1())  # noqa: S303
    PRIVATE.public_key().verify(signature, b"signed", padding.PKCS1v15(), SHA1())  # noqa: S303
    assert not is_signed(b"signed", signature, padding.PKCS1v15(), SHA1(), RSA.certificate)  # noqa: S303
    assert not is_signed(b"signed", signature, padding.PKCS1v15(), None, RSA.certificate)
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505
    signature = short.sign(b"signed", padding.PKCS1v15(), SHA256())
    assert not is_signed(b"signed", signature, padding.PKCS1v15(), SHA256(), root("Short", own=short).certificate)
