"""What a certificate may be used for."""

from __future__ import annotations

import contextlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from sra.cards.software.maker import CardHolder, issue, parse_subject, validity
from sra.cards.software.software_keys import generate
from sra.errors import RefusalCode, RefusedError
from sra.identity.certificate_paths import ANY_POLICY
from sra.identity.certificates import CardCertificate, parse
from sra.identity.policy import CertificatePolicy, Certificates
from sra.identity.usage import ANY_USAGE, check_purpose, check_slot, check_usage, listed, only_decrypts, says_its_use
from sra.piv.keys import Algorithm, Slot
from tests.chains import AUTHORITY, NOW, Extensions, card, path, root, usage

CLIENT_USAGE = ExtendedKeyUsageOID.CLIENT_AUTH
CARD_AUTHENTICATION = ObjectIdentifier("2.16.840.1.101.3.6.8")
SIGNS = (usage("digital_signature"), True)


def extended_to(*usages: ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage(usages), False


def of(extensions: Extensions) -> CardCertificate:
    return card(root().issue("Alice", extensions))


def refusal(certificate: CardCertificate) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        check_slot(certificate)
    return caught.value


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        [SIGNS],
        [(usage("digital_signature", "content_commitment"), True)],
        [extended_to(CLIENT_USAGE)],
        [SIGNS, extended_to(CLIENT_USAGE, ExtendedKeyUsageOID.SMARTCARD_LOGON)],
    ],
)
def test_a_key_that_may_sign_may_authenticate_and_so_may_one_of_which_nothing_is_said(extensions: Extensions) -> None:
    assert check_slot(of(extensions)) == "its key may authenticate"


@pytest.mark.parametrize("others", [[], [CLIENT_USAGE], [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]])
def test_card_authentication_is_refused_whatever_else_the_certificate_is_for(others: list[ObjectIdentifier]) -> None:
    for usages in ([CARD_AUTHENTICATION, *others], [*others, CARD_AUTHENTICATION]):
        refused = refusal(of([SIGNS, extended_to(*usages)]))
        assert refused.code is RefusalCode.USAGE
        assert "card authentication (slot 9E)" in refused.text
        assert refused.text.endswith("Use the card's 9A certificate.")


@pytest.mark.parametrize("value", [usage("key_encipherment"), usage("key_agreement"), usage("content_commitment")])
def test_a_key_that_may_not_sign_is_refused(value: x509.KeyUsage) -> None:
    refused = refusal(of([(value, True), extended_to(CLIENT_USAGE)]))
    assert refused.code is RefusalCode.USAGE
    assert "not meant for signatures (key usage)" in refused.text


@pytest.mark.parametrize(("slot", "is_fit"), [("9A", True), ("9C", True), ("9D", False), ("9E", False)])
def test_software_cards_say_of_which_slot_a_certificate_is(slot: str, is_fit: bool) -> None:
    holder = CardHolder(parse_subject("ann"))
    der = issue(Slot(int(slot, 16)), generate(Algorithm.P256), holder, None, validity(NOW, 1))
    if is_fit:
        assert check_slot(parse(der))
    else:
        assert refusal(parse(der)).code is RefusalCode.USAGE


@pytest.mark.parametrize(
    ("identifier", "value"),
    [("2.5.29.15", b""), ("2.5.29.15", b"\x04\x01\x80"), ("2.5.29.37", b"\x30\x05\x06"), ("2.5.29.37", b"\x06\x00")],
)
def test_what_the_key_is_for_has_to_be_readable(identifier: str, value: bytes) -> None:
    extension = x509.UnrecognizedExtension(ObjectIdentifier(identifier), value)
    with pytest.raises(RefusedError) as caught:
        check_slot(of([(extension, False)]))
    assert caught.value.code is RefusalCode.CERTIFICATE


def test_a_key_usage_without_any_bit_is_no_signature() -> None:
    extension = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.15"), b"\x03\x01\x00")
    assert refusal(of([(extension, True)])).code is RefusalCode.USAGE


@given(st.binary(max_size=40))
def test_any_bytes_as_an_extension_are_a_refusal_or_a_yes(value: bytes) -> None:
    for identifier in ("2.5.29.15", "2.5.29.37"):
        with contextlib.suppress(RefusedError):
            check_slot(of([(x509.UnrecognizedExtension(ObjectIdentifier(identifier), value), False)]))


@pytest.mark.parametrize("other", ["key_encipherment", "data_encipherment", "key_agreement"])
def test_a_key_that_may_decrypt_authenticates_nobody_unless_the_owner_lets_it(other: str) -> None:
    certificate = of([(usage("digital_signature", other), True), extended_to(CLIENT_USAGE)])
    refused = refusal(certificate)
    assert refused.code is RefusalCode.USAGE
    assert "decrypts too (key usage)" in refused.text
    assert check_slot(certificate, may_decrypt=True) == "its key may authenticate"


def test_an_owner_who_lets_decrypting_keys_in_lets_in_none_that_does_not_sign() -> None:
    with pytest.raises(RefusedError, match="not meant for signatures"):
        check_slot(of([(usage("key_encipherment"), True)]), may_decrypt=True)


@pytest.mark.parametrize(
    ("extensions", "says", "decrypts"),
    [
        ([], False, False),
        ([extended_to(CLIENT_USAGE)], False, False),
        ([SIGNS], True, False),
        ([(usage("digital_signature", "key_encipherment"), True)], True, False),
        ([(usage("key_encipherment"), True)], True, True),
        ([(usage("key_agreement"), False)], True, True),
    ],
)
def test_what_a_certificate_says_of_its_use_and_what_it_leaves_open(
    extensions: Extensions, says: bool, decrypts: bool
) -> None:
    certificate = of(extensions)
    assert says_its_use(certificate) is says
    assert only_decrypts(certificate.der) is decrypts


def test_what_is_no_certificate_does_not_only_decrypt() -> None:
    odd = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.15"), b"\x04\x01\x20")
    unreadable = root().issue("Alice", [(odd, True)]).public_bytes(Encoding.DER)
    for der in (b"", b"\x30\x00", b"nonsense", unreadable):
        assert not only_decrypts(der)


CLIENT, LOGON = "1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2"
SERVER = "1.3.6.1.5.5.7.3.1"
ROOT = root()


def chain(leaf: Extensions = (), authority: Extensions = ()) -> tuple[x509.Certificate, ...]:
    sub = ROOT.authority("Sub", (*AUTHORITY, *authority))
    return path(ROOT, sub, leaf=sub.issue("Alice", leaf))


def wanting(*, usages: tuple[str, ...] = ()) -> CertificatePolicy:
    return CertificatePolicy(Certificates.CA, extended_key_usages=frozenset(usages))


def refused(certificates: tuple[x509.Certificate, ...], policy: CertificatePolicy) -> str:
    with pytest.raises(RefusedError) as caught:
        check_usage(certificates, policy)
    assert caught.value.code is RefusalCode.USAGE
    return caught.value.text


def extended(*identifiers: str) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(each) for each in identifiers]), False


def test_a_certificate_that_says_nothing_may_be_used() -> None:
    check_usage(chain(), wanting())


def test_key_usage_has_to_include_signatures_where_there_is_one() -> None:
    check_usage(chain([(usage("digital_signature"), True)]), wanting())
    assert "key usage" in refused(chain([(usage("key_agreement"), True)]), wanting())
    assert "key usage" in refused(chain([(usage("content_commitment"), True)]), wanting())


def test_every_extended_usage_that_is_wanted_has_to_be_there() -> None:
    wanted = wanting(usages=(CLIENT, LOGON))
    check_usage(chain([extended(LOGON, CLIENT)]), wanted)
    assert "smart card logon" in refused(chain([extended(CLIENT)]), wanted)
    server = [extended(ExtendedKeyUsageOID.SERVER_AUTH.dotted_string)]
    assert "client authentication" in refused(chain(server), wanting(usages=(CLIENT,)))


def test_any_usage_and_no_usage_are_not_the_one_that_is_wanted() -> None:
    assert "client authentication" in refused(chain(), wanting(usages=(CLIENT,)))
    assert "client authentication" in refused(chain([extended(ANY_USAGE)]), wanting(usages=(CLIENT,)))


def test_an_authority_that_is_limited_has_to_allow_the_usage() -> None:
    leaf = [extended(CLIENT)]
    check_usage(chain(leaf, [extended(CLIENT)]), wanting(usages=(CLIENT,)))
    check_usage(chain(leaf, [extended(ANY_USAGE)]), wanting(usages=(CLIENT,)))
    assert "may not issue" in refused(chain(leaf, [extended(LOGON)]), wanting(usages=(CLIENT,)))


def purpose(*identifiers: str, usages: tuple[str, ...] = ()) -> str:
    leaf = ROOT.issue("Alice", [extended(*identifiers)] if identifiers else [])
    return check_purpose(card(leaf), CertificatePolicy(extended_key_usages=frozenset(usages)))


def test_a_certificate_that_opens_accounts_is_for_that_or_says_nothing() -> None:
    assert purpose() == "for any purpose"
    assert purpose(CLIENT) == "for client authentication"
    assert purpose(LOGON, SERVER) == "for 1.3.6.1.5.5.7.3.1 and smart card logon"
    assert purpose(ANY_USAGE) == "for any purpose"


@pytest.mark.parametrize("other", [SERVER, "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.9", "1.2.3"])
def test_a_certificate_for_another_purpose_opens_nothing(other: str) -> None:
    with pytest.raises(RefusedError, match="for another purpose") as caught:
        purpose(other)
    assert caught.value.code is RefusalCode.USAGE


def test_usages_can_be_demanded_under_every_policy() -> None:
    assert purpose(LOGON, CLIENT, usages=(LOGON,))
    for own in ((), (CLIENT,), (ANY_USAGE,)):
        with pytest.raises(RefusedError, match="smart card logon"):
            purpose(*own, usages=(LOGON,))


def test_policies_are_listed_in_words() -> None:
    assert [listed(frozenset(each)) for each in ((), ("1.2.3", "1.2"), ("1.2", ANY_POLICY))] == [
        "none",
        "1.2, 1.2.3",
        "any",
    ]
