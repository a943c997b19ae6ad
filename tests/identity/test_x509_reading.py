"""X.509 as everything reads it: names, fingerprints, signatures that count."""

from __future__ import annotations

import hashlib
import time
from itertools import count

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.x509.name import _ASN1Type
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import UsageError
from sra.identity.x509_reading import Scheme, comparable, fingerprint, is_same, is_signed, parse_fingerprint
from tests.chains import key, named, root


def typed(text: str, kind: _ASN1Type) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text, _type=kind)])


@pytest.mark.parametrize(
    "other",
    [
        named("SUB ca"),
        named("  Sub   CA "),
        typed("Sub CA", _ASN1Type.PrintableString),
        typed("Sub CA", _ASN1Type.BMPString),
    ],
)
def test_case_white_space_and_string_type_do_not_matter(other: x509.Name) -> None:
    assert is_same(named("Sub CA"), other)


def test_other_words_other_orders_and_other_attributes_do() -> None:
    one, two = (x509.NameAttribute(x509.NameOID.COMMON_NAME, each) for each in ("a", "b"))
    assert not is_same(named("Sub CA"), named("SubCA"))
    assert not is_same(x509.Name([one, two]), x509.Name([two, one]))
    assert not is_same(x509.Name([one]), x509.Name([one, two]))
    assert comparable(x509.Name([])) == comparable(x509.Name([]))


def test_values_that_a_library_drops_still_count() -> None:
    def one_part(*values: str) -> x509.Name:
        pairs = [x509.NameAttribute(x509.NameOID.COMMON_NAME, value) for value in values]
        return x509.Name([x509.RelativeDistinguishedName(pairs)])

    assert not is_same(one_part("a", "b"), one_part("b"))
    assert is_same(one_part("A", "b"), one_part("B", "a"))
    assert not is_same(one_part("Ann"), one_part("Ann\ufe8d"))


def test_a_name_that_fills_a_certificate_costs_little() -> None:
    """A stranger's certificate may have one: it is compared after the proof, which everybody can give for a key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "\ufdfa" * 21) for _ in range(200)])
    comparable(named("the first one loads the library"))
    begun = time.process_time()
    comparable(name)
    assert time.process_time() - begun < 0.05
    assert is_same(name, name)


def test_a_fingerprint_is_the_sha_256_in_one_word() -> None:
    shown = fingerprint(b"certificate")
    assert shown.startswith("SHA256:")
    assert shown.removeprefix("SHA256:").replace(":", "").lower() == hashlib.sha256(b"certificate").hexdigest()
    assert len(shown) == 102


@given(st.binary(max_size=64))
def test_what_a_person_types_may_lack_prefix_colons_and_capitals(certificate: bytes) -> None:
    shown = fingerprint(certificate)
    for typed in (shown, shown.lower(), shown.removeprefix("SHA256:"), shown.replace(":", ""), f"  {shown}\n"):
        assert parse_fingerprint(typed if typed != shown.replace(":", "") else typed.removeprefix("SHA256")) == shown


@pytest.mark.parametrize(
    "typed", ["", "SHA256:", "AB", "SHA256:" + "AB:" * 31 + "A", "MD5:" + "AB" * 32, "zz" * 32, "AB" * 33]
)
def test_anything_else_is_no_fingerprint(typed: str) -> None:
    with pytest.raises(UsageError, match="sra identity show"):
        parse_fingerprint(typed)


@given(st.text(max_size=200))
def test_any_text_is_a_fingerprint_or_a_clear_error(typed: str) -> None:
    outcome = parsed(typed)
    assert outcome.isprintable()
    assert outcome.startswith("SHA256:") or typed == "" or "“" in outcome


def parsed(typed: str) -> str:
    try:
        return parse_fingerprint(typed)
    except UsageError as error:
        return str(error)


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
