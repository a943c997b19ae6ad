import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from sra.identity import crl
from sra.identity.authorities import Issued
from sra.identity.crl import RevocationList
from sra.identity.revocation import EvidenceError
from sra.identity.status import ALL_REASONS, reasons
from sra.identity.x509_reading import comparable
from tests.chains import (
    AUTHORITY,
    DAY,
    NOW,
    UNKNOWN,
    Authority,
    Entry,
    Extensions,
    key,
    large_list,
    named,
    points,
    root,
    scope,
    usage,
    with_sha1,
)

ROOT = root()
SUB = ROOT.authority("Sub")
LEAF = SUB.issue("Alice")
ALICE = Issued(LEAF, SUB.certificate)


def refused(data: bytes, words: str, issuer: Authority = SUB) -> None:
    with pytest.raises(EvidenceError, match=re.escape(words)):
        crl.verify(data, issuer.certificate)


def covers(found: RevocationList, issued: Issued) -> bool:
    return reasons(found, issued) == ALL_REASONS


def only_revokes(data: bytes, words: str, issuer: Authority = SUB) -> None:
    """It is believed for what it revokes, and for nothing else."""
    assert words in crl.verify(data, issuer.certificate).problem


def test_a_certificate_that_is_not_on_the_list_is_not_revoked() -> None:
    found = crl.verify(SUB.revocation_list([Entry(1), Entry(2)]), SUB.certificate)
    assert found.count == 2
    assert covers(found, ALICE)
    assert found.find(ALICE) is None
    assert (found.this_update, found.fresh_until) == (NOW - DAY, NOW + DAY)


def test_a_certificate_on_the_list_is_revoked_since_then_for_that_reason() -> None:
    for reason in (None, x509.ReasonFlags.key_compromise, x509.ReasonFlags.certificate_hold):
        entries = [Entry(1), Entry(LEAF.serial_number, reason)]
        revocation = crl.verify(SUB.revocation_list(entries), SUB.certificate).find(ALICE)
        assert revocation is not None
        assert (revocation.since, revocation.reason) == (NOW - 5 * DAY, reason)


def test_an_empty_list_revokes_nothing() -> None:
    assert crl.verify(SUB.revocation_list(), SUB.certificate).find(ALICE) is None


def test_a_list_may_be_pem() -> None:
    pem = x509.load_der_x509_crl(SUB.revocation_list()).public_bytes(Encoding.PEM)
    assert covers(crl.verify(b"a comment\n" + pem, SUB.certificate), ALICE)


@pytest.mark.parametrize("count", [0, 1, 3, 300, 3000])
def test_what_is_signed_is_what_the_library_reads(count: int) -> None:
    data = SUB.revocation_list([Entry(number + 1) for number in range(count)])
    assert crl._first_element(data) == x509.load_der_x509_crl(data).tbs_certlist_bytes


def test_a_list_counts_for_as_long_as_somebody_says() -> None:
    found = crl.verify(SUB.revocation_list(), SUB.certificate)
    assert found.at_most_until(NOW).fresh_until == NOW
    assert found.at_most_until(NOW + 9 * DAY).fresh_until == NOW + DAY


def test_another_s_list_is_refused() -> None:
    refused(ROOT.revocation_list(), "is one of “Root”, not of “Sub”")


def test_a_list_with_a_forged_signature_is_refused() -> None:
    refused(Authority(SUB.certificate, key("Mallory")).revocation_list(), "is not signed by “Sub”")
    changed = bytearray(SUB.revocation_list([Entry(LEAF.serial_number)]))
    at = changed.index(LEAF.serial_number.to_bytes(21, "big").lstrip(b"\0"))
    changed[at + 3] ^= 1
    refused(bytes(changed), "is not signed by “Sub”")


def test_a_list_of_an_authority_that_may_sign_none_is_refused() -> None:
    limited = ROOT.authority("Sub", (AUTHORITY[0], (usage("key_cert_sign"), True)))
    only_revokes(limited.revocation_list(), "may not sign revocation lists", limited)


def test_a_list_signed_with_sha_1_is_refused() -> None:
    private = rsa.generate_private_key(65537, 2048)
    anchor = root("RSA", own=private)
    data = anchor.revocation_list()
    assert crl.verify(data, anchor.certificate)
    good = x509.load_der_x509_crl(data)
    refused(with_sha1(data, good.tbs_certlist_bytes, good.signature, private), "is not signed by “RSA”", anchor)


def test_a_list_may_be_signed_with_rsa_pss() -> None:
    private = rsa.generate_private_key(65537, 2048)
    anchor = root("RSA", own=private)
    builder = x509.CertificateRevocationListBuilder().issuer_name(named("RSA"))
    builder = builder.last_update(NOW - DAY).next_update(NOW + DAY)
    signed = builder.sign(private, SHA256(), rsa_padding=padding.PSS(padding.MGF1(SHA256()), 32))
    assert crl.verify(signed.public_bytes(Encoding.DER), anchor.certificate)


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        ([(UNKNOWN, True)], "critical extension that is unknown: 1.3.6.1.4.1.99999.1"),
    ],
)
def test_a_list_that_is_not_understood_only_revokes(extensions: Extensions, words: str) -> None:
    only_revokes(SUB.revocation_list(extensions=extensions), words)


def test_a_list_of_attribute_certificates_says_nothing_of_cards() -> None:
    refused(SUB.revocation_list(extensions=[scope(only_contains_attribute_certs=True)]), "attribute certificates")


def test_deltas_parts_and_indirect_lists_are_read() -> None:
    delta = crl.verify(SUB.revocation_list(extensions=[(x509.DeltaCRLIndicator(1), True)]), SUB.certificate)
    assert (delta.base, delta.source) == (1, "the delta revocation list of “Sub”")
    some = frozenset({x509.ReasonFlags.key_compromise})
    part = crl.verify(SUB.revocation_list(extensions=[scope(only_some_reasons=some)]), SUB.certificate)
    assert reasons(part, ALICE) == some
    other = x509.CertificateIssuer([x509.DirectoryName(named("root"))])
    entries = [Entry(1), Entry(2, extensions=[(other, True)]), Entry(3)]
    indirect = crl.verify(SUB.revocation_list(entries, [scope(indirect_crl=True)]), SUB.certificate)
    assert indirect.serials == {comparable(named("Sub")): {1}, comparable(named("Root")): {2, 3}}
    assert indirect.is_indirect


def test_a_point_may_be_named_relative_to_its_issuer() -> None:
    relative = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "1")])
    found = crl.verify(SUB.revocation_list(extensions=[scope(relative_name=relative)]), SUB.certificate)
    point = x509.DistributionPoint(None, relative, None, None)
    assert covers(found, Issued(SUB.issue("Alice", [(x509.CRLDistributionPoints([point]), False)]), SUB.certificate))
    assert not covers(found, ALICE)


def test_what_a_list_says_beside_is_passed_over() -> None:
    newest = x509.FreshestCRL([x509.DistributionPoint([x509.UniformResourceIdentifier("http://x")], None, None, None)])
    beside: Extensions = [(x509.CRLNumber(7), False), (UNKNOWN, False), (newest, False)]
    assert crl.verify(SUB.revocation_list(extensions=beside), SUB.certificate)


def test_an_entry_that_is_not_understood_leaves_the_list_only_to_revoke() -> None:
    only_revokes(SUB.revocation_list([Entry(1, extensions=[(UNKNOWN, True)])]), "entry with a critical extension")
    other = x509.CertificateIssuer([x509.DirectoryName(named("Root"))])
    only_revokes(SUB.revocation_list([Entry(1, extensions=[(other, True)])]), "does not say that it is indirect")
    assert not crl.verify(SUB.revocation_list([Entry(1, extensions=[(UNKNOWN, False)])]), SUB.certificate).problem


def test_a_list_without_an_end_only_revokes() -> None:
    # The builder always writes one; without it the list ends 15 bytes of UTCTime earlier.
    data = SUB.revocation_list()
    found = x509.load_der_x509_crl(data)
    end = b"\x17\x0d" + f"{NOW + DAY:%y%m%d%H%M%SZ}".encode()
    signed = found.tbs_certlist_bytes.replace(end, b"")
    signed = signed[:1] + bytes([signed[1] - len(end)]) + signed[2:]
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = key("Sub").sign(signed, ec.ECDSA(SHA256()))
    body = signed + algorithm + b"\x03" + bytes([len(signature) + 1]) + b"\0" + signature
    only_revokes(b"\x30\x81" + bytes([len(body)]) + body, "until when it counts")


def test_a_list_for_cards_only_says_nothing_of_authorities_and_the_other_way_round() -> None:
    sub = Issued(SUB.certificate, ROOT.certificate)
    for said, is_card, is_authority in (
        (scope(only_contains_user_certs=True), True, False),
        (scope(only_contains_ca_certs=True), False, True),
    ):
        assert covers(crl.verify(SUB.revocation_list(extensions=[said]), SUB.certificate), ALICE) is is_card
        assert covers(crl.verify(ROOT.revocation_list(extensions=[said]), ROOT.certificate), sub) is is_authority


def test_a_part_of_a_list_speaks_only_of_the_certificates_that_name_it() -> None:
    one, two = "http://lists.example/1", "http://lists.example/2"
    part = [scope(full_name=[x509.UniformResourceIdentifier(one)])]
    found = crl.verify(SUB.revocation_list(extensions=part), SUB.certificate)
    for extensions, is_covered in (
        ([points(one)], True),
        ([points(two, one)], True),
        ([points(two)], False),
        ([], False),
    ):
        leaf = SUB.issue("Alice", extensions)
        assert covers(found, Issued(leaf, SUB.certificate)) is is_covered


def test_a_list_says_nothing_of_another_issuer_s_certificates() -> None:
    found = crl.verify(SUB.revocation_list(), SUB.certificate)
    assert not covers(found, Issued(ROOT.issue("Bob"), ROOT.certificate))


def test_a_list_of_100_000_answers() -> None:
    found = crl.verify(large_list("Sub"), SUB.certificate)
    assert covers(found, ALICE)
    assert found.find(ALICE) is None
    assert found.source == "the revocation list of “Sub”"


def test_a_list_that_is_too_long_is_not_read() -> None:
    refused(b"\x30" * (crl.MAX_LIST + 1), "longer than")


@given(st.binary(max_size=300), st.integers(0, 400))
def test_nothing_but_a_refusal_comes_of_garbage(garbage: bytes, cut: int) -> None:
    good = SUB.revocation_list([Entry(5)], [scope(only_contains_user_certs=True)])
    for data in (garbage, good[:cut] + garbage, good[:cut] + garbage + good[cut + len(garbage) :]):
        if data != good:
            with pytest.raises(EvidenceError):
                crl.verify(data, SUB.certificate)
