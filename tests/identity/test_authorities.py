import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from hypothesis import given
from hypothesis import strategies as st

from sra.errors import RefusalCode, RefusedError
from sra.identity.authorities import Authorities, read_certificates, sort_authorities, steps
from sra.identity.certificate_paths import has_issued
from sra.identity.x509_reading import extension, shown
from tests.chains import (
    AUTHORITY,
    DAY,
    NOW,
    UNKNOWN,
    Authority,
    card,
    key,
    named,
    policies,
    root,
    signed,
    usage,
    with_sha1,
)

ROOT = root()
SUB = ROOT.authority("Sub")
LEAF = SUB.issue("Alice")


def trusting(*authorities: Authority) -> Authorities:
    return sort_authorities(each.certificate for each in authorities)[0]


def refusal(authorities: Authorities, leaf: x509.Certificate) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        authorities.path(card(leaf), NOW)
    return caught.value


def test_a_path_leads_from_the_card_to_the_anchor() -> None:
    path = trusting(ROOT, SUB).path(card(LEAF), NOW).certificates
    assert path == (LEAF, SUB.certificate, ROOT.certificate)
    assert [(each.certificate, each.issuer) for each in steps(path)] == [
        (LEAF, SUB.certificate),
        (SUB.certificate, ROOT.certificate),
    ]


def test_where_nothing_is_trusted_the_refusal_says_what_to_do() -> None:
    refused = refusal(Authorities(), LEAF)
    assert refused.code is RefusalCode.UNTRUSTED
    assert "etc/sra/trust" in refused.text


def test_an_unknown_issuer_is_named() -> None:
    stranger = root("Stranger").issue("Mallory")
    refused = refusal(trusting(ROOT, SUB), stranger)
    assert refused.code is RefusalCode.UNTRUSTED
    assert "“Stranger”" in refused.text


def test_a_missing_intermediate_is_named() -> None:
    assert "“Sub”" in refusal(trusting(ROOT), LEAF).text


def test_the_name_of_an_authority_is_not_its_key() -> None:
    impostor = root("Impostor").authority("Sub")
    leaf = Authority(impostor.certificate, key("another")).issue("Alice")
    assert refusal(trusting(ROOT, SUB), leaf).code is RefusalCode.UNTRUSTED


def test_an_intermediate_alone_is_no_anchor() -> None:
    assert trusting(SUB).anchors == ()
    assert refusal(trusting(SUB), LEAF).code is RefusalCode.UNTRUSTED


@pytest.mark.parametrize("at", ["anchor", "intermediate"])
def test_an_authority_out_of_its_dates_is_named_with_the_date(at: str) -> None:
    for dates, words in (
        ((NOW - 9 * DAY, NOW - DAY), "expired on 2030-01-14"),
        ((NOW + DAY, NOW + 9 * DAY), "is not valid before 2030-01-16"),
    ):
        anchor = root(dates=dates) if at == "anchor" else ROOT
        middle = anchor.authority("Sub", dates=dates) if at == "intermediate" else anchor.authority("Sub")
        refused = refusal(trusting(anchor, middle), LEAF)
        assert refused.code is RefusalCode.EXPIRED
        assert words in refused.text
        assert ("“Root”" if at == "anchor" else "“Sub”") in refused.text


def test_a_card_out_of_its_dates_has_no_path() -> None:
    leaf = SUB.issue("Alice", dates=(NOW - 9 * DAY, NOW - DAY))
    assert refusal(trusting(ROOT, SUB), leaf).code is RefusalCode.UNTRUSTED


NAMES = x509.SubjectAlternativeName([x509.RFC822Name("alice@elsewhere.example")])


@pytest.mark.parametrize(
    ("extensions", "leaf_extensions", "words"),
    [
        (
            ((x509.BasicConstraints(ca=True, path_length=None), True), (usage("crl_sign"), True)),
            (),
            "not allowed to sign certificates",
        ),
        ((*AUTHORITY, (UNKNOWN, True)), (), "critical"),
        (AUTHORITY, ((UNKNOWN, True),), "critical"),
        (
            (*AUTHORITY, (x509.NameConstraints([x509.RFC822Name("here.example")], None), True)),
            ((NAMES, False),),
            "permitted namespace",
        ),
        (
            (*AUTHORITY, (x509.NameConstraints(None, [x509.RFC822Name("elsewhere.example")]), True)),
            ((NAMES, False),),
            "names of the end-entity certificate are excluded",
        ),
        ((*AUTHORITY, (x509.NameConstraints(None, [x509.DirectoryName(named("Alice"))]), True)), (), "excluded"),
    ],
    ids=[
        "key usage",
        "critical of authority",
        "critical of card",
        "permitted names",
        "excluded names",
        "directory names",
    ],
)
def test_a_rule_of_an_authority_that_is_broken_is_named(
    extensions: tuple[tuple[x509.ExtensionType, bool], ...],
    leaf_extensions: tuple[tuple[x509.ExtensionType, bool], ...],
    words: str,
) -> None:
    middle = ROOT.authority("Sub", extensions)
    refused = refusal(trusting(ROOT, middle), middle.issue("Alice", leaf_extensions))
    assert refused.code is RefusalCode.UNTRUSTED
    assert words in refused.text


def test_names_within_their_constraints_pass() -> None:
    constraints = (x509.NameConstraints([x509.RFC822Name("elsewhere.example")], None), True)
    middle = ROOT.authority("Sub", (*AUTHORITY, constraints))
    assert len(trusting(ROOT, middle).path(card(middle.issue("Alice", ((NAMES, False),))), NOW).certificates) == 3


def test_a_path_longer_than_its_anchor_allows_is_refused() -> None:
    short = root(extensions=((x509.BasicConstraints(ca=True, path_length=0), True), AUTHORITY[1]))
    assert len(trusting(short).path(card(short.issue("Alice")), NOW).certificates) == 2
    below = short.authority("Below")
    assert "maximum path length" in refusal(trusting(short, below), below.issue("Alice")).text


def test_a_card_issues_no_cards() -> None:
    alice = Authority(LEAF, key("Alice"))
    forged = alice.issue("Mallory")
    assert refusal(trusting(ROOT, SUB, alice), forged).code is RefusalCode.UNTRUSTED
    assert refusal(Authorities((ROOT.certificate,), (SUB.certificate, LEAF)), forged).code is RefusalCode.UNTRUSTED


def test_an_authority_s_own_certificate_is_no_card_s() -> None:
    assert "an authority's own" in refusal(trusting(ROOT), ROOT.certificate).text


def test_signatures_with_sha_1_and_short_keys_lead_nowhere() -> None:
    private = rsa.generate_private_key(65537, 2048)
    anchor = root("RSA", own=private)
    good = anchor.issue("Alice")
    assert trusting(anchor).path(card(good), NOW)
    der = good.public_bytes(Encoding.DER)
    weak = x509.load_der_x509_certificate(with_sha1(der, good.tbs_certificate_bytes, good.signature, private))
    private.public_key().verify(weak.signature, weak.tbs_certificate_bytes, padding.PKCS1v15(), SHA1())  # noqa: S303
    assert refusal(trusting(anchor), weak).code is RefusalCode.UNTRUSTED
    small = root("Small", own=rsa.generate_private_key(65537, 1024))  # noqa: S505 - as it should not be
    assert refusal(trusting(small), small.issue("Alice")).code is RefusalCode.UNTRUSTED


def test_policies_may_be_critical() -> None:
    value = policies("1.2.3")[0]
    middle = ROOT.authority("Sub", (*AUTHORITY, (value, True)))
    assert trusting(ROOT, middle).path(card(middle.issue("Alice", ((value, True),))), NOW)


def test_a_forged_signature_is_told_from_an_unknown_authority() -> None:
    der = bytearray(LEAF.public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_certificate(bytes(der))
    assert not has_issued(SUB.certificate, forged)
    refused = refusal(trusting(ROOT, SUB), forged)
    assert refused.code is RefusalCode.UNTRUSTED
    assert "bears the name of the authority “Sub”, but not its signature" in refused.text
    assert "does not know" not in refused.text


def test_a_renewed_anchor_counts_beside_its_expired_certificate() -> None:
    old = root(dates=(NOW - 9 * DAY, NOW - DAY))
    for anchors in ((old, ROOT), (ROOT, old)):
        found = trusting(*anchors, SUB).path(card(LEAF), NOW)
        assert found.certificates[-1] == ROOT.certificate
    assert "expired" in refusal(trusting(old, SUB), LEAF).text


def test_of_several_reasons_the_nearest_to_success_is_told() -> None:
    old = root(dates=(NOW - 9 * DAY, NOW - DAY))
    short = root(extensions=((x509.BasicConstraints(ca=True, path_length=0), True), AUTHORITY[1]))
    assert "maximum path length" in refusal(trusting(old, short, SUB), LEAF).text


def test_names_that_differ_in_case_space_and_type_are_the_same_name() -> None:
    other = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, " SUB ", _type=_ASN1Type.PrintableString)])
    leaf = signed(other, key("Sub"), named("Alice"), key("Alice"), (), (NOW - DAY, NOW + DAY))
    assert len(trusting(ROOT, SUB).path(card(leaf), NOW).certificates) == 3


def test_among_authorities_that_all_certify_each_other_a_search_ends() -> None:
    names = [f"Mesh {number}" for number in range(12)]
    mesh = [
        Authority(
            signed(named(issuer), key(issuer), named(name), key(name), AUTHORITY, (NOW - DAY, NOW + DAY)), key(name)
        )
        for issuer in names
        for name in names
        if issuer != name
    ]
    authorities = trusting(ROOT, *mesh)
    leaf = mesh[0].issue("Alice")
    start = time.monotonic()
    assert refusal(authorities, leaf).code is RefusalCode.UNTRUSTED
    assert time.monotonic() - start < 5


def test_policies_are_found_and_wanted_ones_demanded() -> None:
    middle = ROOT.authority("Sub", (*AUTHORITY, policies("1.2.3", "1.2.4")))
    leaf = card(middle.issue("Alice", (policies("1.2.3"),)))
    authorities = trusting(ROOT, middle)
    assert authorities.path(leaf, NOW).policies == {"1.2.3"}
    assert authorities.path(leaf, NOW, frozenset({"1.2.3", "1.2.9"})).policies == {"1.2.3"}
    with pytest.raises(RefusedError, match=r"has not the policy that this remote wants: 1\.2\.4") as caught:
        authorities.path(leaf, NOW, frozenset({"1.2.4"}))
    assert caught.value.code is RefusalCode.USAGE


def test_an_authority_that_wants_a_policy_gets_one_or_no() -> None:
    explicit = (x509.PolicyConstraints(0, None), True)
    middle = ROOT.authority("Sub", (*AUTHORITY, policies("1.2.3"), explicit))
    assert trusting(ROOT, middle).path(card(middle.issue("Alice", (policies("1.2.3"),))), NOW)
    refused = refusal(trusting(ROOT, middle), middle.issue("Alice", (policies("1.2.4"),)))
    assert (refused.code, "no policy" in refused.text) == (RefusalCode.USAGE, True)


def test_constraints_on_dns_names_in_another_form_lead_nowhere() -> None:
    for base in (".example.com", ""):
        constraint = (x509.NameConstraints(None, [x509.DNSName(base)]), True)
        middle = ROOT.authority("Sub", (*AUTHORITY, constraint))
        assert "not in the form" in refusal(trusting(ROOT, middle), middle.issue("Alice")).text


def test_authorities_are_sorted_from_cards_and_from_each_other() -> None:
    found, others = sort_authorities([LEAF, SUB.certificate, ROOT.certificate, ROOT.certificate])
    assert (found.anchors, found.intermediates, others) == ((ROOT.certificate,), (SUB.certificate,), (LEAF,))
    assert found.all == (ROOT.certificate, SUB.certificate)


def test_files_hold_one_certificate_in_der_or_many_in_pem() -> None:
    pem = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in (ROOT, SUB))
    assert read_certificates(b"a comment\n" + pem) == (ROOT.certificate, SUB.certificate)
    assert read_certificates(ROOT.certificate.public_bytes(Encoding.DER)) == (ROOT.certificate,)


def test_names_are_shown_safely() -> None:
    assert shown(named("Root\x1b[2J")) == "Root?[2J"
    assert shown(x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE")])) == "C=DE"
    assert shown(x509.Name([])) == "(no name)"


@given(st.binary(max_size=400), st.integers(0, 400))
def test_nothing_but_a_refusal_comes_of_garbage(garbage: bytes, cut: int) -> None:
    der = LEAF.public_bytes(Encoding.DER)
    for data in (garbage, der[:cut] + garbage, b"-----BEGIN CERTIFICATE-----\n" + garbage):
        try:
            for certificate in read_certificates(data):
                extension(certificate, x509.KeyUsage)
        except RefusedError as error:
            assert error.code is RefusalCode.CERTIFICATE  # noqa: PT017 - both outcomes are right
