import itertools
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sra.errors import RefusalCode
from sra.identity.policy import CertificatePolicy, Certificates
from tests.chains import (
    AUTHORITY,
    DAY,
    NOW,
    Authority,
    Entry,
    card,
    key,
    large_list,
    points,
    policies,
    root,
    usage,
)
from tests.remote.revocation.policy_remote import ROOT, SUB, Remote
from tests.remote.revocation.servers import content, serving

CARD_AUTHENTICATION = (x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.16.840.1.101.3.6.8")]), False)
DECRYPTS = (usage("key_encipherment"), True)


def serial(certificate: x509.Certificate) -> int:
    return certificate.serial_number


def test_the_paired_key_needs_no_authority(tmp_path: Path) -> None:
    remote = Remote(tmp_path, CertificatePolicy())
    stranger = root("Stranger").issue("Mallory")
    remote.check(stranger)
    assert remote.explain(stranger) == [
        ("policy", "paired-key"),
        ("slot", "its key may authenticate"),
        ("purpose", "for any purpose"),
    ]


@pytest.mark.parametrize("certificates", Certificates)
@pytest.mark.parametrize("wrong", [CARD_AUTHENTICATION, DECRYPTS])
def test_under_every_policy_a_key_of_the_wrong_slot_authenticates_nobody(
    tmp_path: Path, certificates: Certificates, wrong: tuple[x509.ExtensionType, bool]
) -> None:
    remote = Remote(tmp_path, CertificatePolicy(certificates))
    remote.file("root", ROOT.revocation_list())
    remote.file("sub", SUB.revocation_list())
    remote.check(SUB.issue("Alice"))
    alice = SUB.issue("Alice", [wrong])
    refused = remote.refusal(alice)
    assert refused.code is RefusalCode.USAGE
    assert "Use the card's 9A certificate." in refused.text
    assert remote.explain(alice) == [("policy", str(certificates)), ("refused", refused.text)]


@pytest.mark.parametrize("certificates", Certificates)
@pytest.mark.parametrize("other", ["key_encipherment", "data_encipherment", "key_agreement"])
def test_under_every_policy_a_key_that_may_decrypt_authenticates_nobody_unless_the_owner_lets_it(
    tmp_path: Path, certificates: Certificates, other: str
) -> None:
    """Another remote, to which it is lent, would have a proof for this one decrypted."""
    alice = SUB.issue("Alice", [(usage("digital_signature", other), True)])
    for is_allowed in (False, True):
        (folder := tmp_path / str(is_allowed)).mkdir()
        remote = Remote(folder, CertificatePolicy(certificates, allow_decrypting_keys=is_allowed))
        remote.file("root", ROOT.revocation_list())
        remote.file("sub", SUB.revocation_list())
        if is_allowed:
            remote.check(alice)
        else:
            assert "its key decrypts too (key usage)" in remote.refusal(alice).text


def test_with_an_authority_strangers_and_wrong_uses_and_policies_are_refused(tmp_path: Path) -> None:
    policy = CertificatePolicy(Certificates.CA, frozenset({"1.2.3"}), frozenset({"1.3.6.1.5.5.7.3.2"}))
    remote = Remote(tmp_path, policy)
    sub = ROOT.authority("Sub", (*AUTHORITY, policies("1.2.3")))
    pem = [each.certificate.public_bytes(Encoding.PEM) for each in (ROOT, sub)]
    (remote.trust / "authorities.pem").write_bytes(b"".join(pem))
    client = (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")]), False)
    signs = (usage("digital_signature"), True)
    remote.check(sub.issue("Alice", [client, signs, policies("1.2.3")]))
    cases: list[tuple[x509.Certificate, RefusalCode]] = [
        (root("Stranger").issue("Mallory", [client]), RefusalCode.UNTRUSTED),
        (sub.issue("Alice", [client, (usage("key_agreement"), True), policies("1.2.3")]), RefusalCode.USAGE),
        (sub.issue("Alice", [signs, policies("1.2.3")]), RefusalCode.USAGE),
        (sub.issue("Alice", [client, signs, policies("1.2.4")]), RefusalCode.USAGE),
    ]
    for certificate, code in cases:
        assert remote.refusal(certificate).code is code


def test_without_any_evidence_nobody_gets_in(remote: Remote) -> None:
    refused = remote.refusal(SUB.issue("Alice"))
    assert refused.code is RefusalCode.REVOCATION_UNKNOWN
    assert "names no place to ask" in refused.text


def test_lists_in_files_decide(filed: Remote) -> None:
    alice, bob = SUB.issue("Alice"), SUB.issue("Bob")
    filed.file("sub", SUB.revocation_list([Entry(serial(bob), x509.ReasonFlags.key_compromise)]))
    filed.check(alice)
    refused = filed.refusal(bob)
    assert (refused.code, refused.text) == (
        RefusalCode.REVOKED,
        "The card's certificate was revoked on 2030-01-10 (its key may be known to others). Use another card.",
    )


def test_every_authority_on_the_path_has_to_be_good_too(filed: Remote) -> None:
    filed.file("sub", SUB.revocation_list())
    filed.file("root", ROOT.revocation_list([Entry(serial(SUB.certificate))]))
    assert "The authority “Sub” was revoked" in filed.refusal(SUB.issue("Alice")).text
    (filed.trust / "root.crl").unlink()
    assert "whether the authority “Sub” is revoked" in filed.refusal(SUB.issue("Alice")).text


def test_a_stale_file_refuses_with_its_date(filed: Remote) -> None:
    filed.file("sub", SUB.revocation_list(dates=(NOW - 2 * DAY, NOW - DAY)))
    refused = filed.refusal(SUB.issue("Alice"))
    assert refused.code is RefusalCode.REVOCATION_UNKNOWN
    assert "the revocation list of “Sub” is stale since 2030-01-14" in refused.text


def test_a_file_that_is_not_used_is_named_in_the_refusal(filed: Remote) -> None:
    filed.file("sub", Authority(SUB.certificate, key("Mallory")).revocation_list())
    assert "sub.crl is not used" in filed.refusal(SUB.issue("Alice")).text


def test_a_file_that_can_not_be_read_is_no_reason_told_about_another_certificate(filed: Remote) -> None:
    filed.file("rubbish", b"rubbish")
    filed.file("stranger", root("Stranger").revocation_list())
    (filed.trust / "rubbish.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nrubbish")
    text = filed.refusal(SUB.issue("Alice")).text
    assert "names no place to ask" in text
    assert "not used" not in text
    pem = [each.certificate.public_bytes(Encoding.PEM) for each in (ROOT, SUB)]
    broken = pem[0].replace(b"M", b"!", 1)
    (filed.trust / "authorities.pem").write_bytes(broken + pem[0] + pem[1])
    filed.file("sub", SUB.revocation_list())
    filed.check(SUB.issue("Alice"))


def test_a_list_counts_under_every_certificate_of_its_authority(filed: Remote) -> None:
    """Filed under the expired one, it was not found by a path through the other, and an older list let the card in."""
    old = ROOT.issue("Sub", AUTHORITY, (NOW - 90 * DAY, NOW - DAY))
    pem = [each.public_bytes(Encoding.PEM) for each in (old, SUB.certificate, ROOT.certificate)]
    with serving(sub=content(SUB.revocation_list(dates=(NOW - 2 * DAY, NOW + DAY)))) as server:
        bob = SUB.issue("Bob", [points(server.url("/sub"))])
        filed.file("sub", SUB.revocation_list([Entry(serial(bob))]))
        for order in itertools.permutations(pem):
            (filed.trust / "authorities.pem").write_bytes(b"".join(order))
            assert filed.refusal(bob).code is RefusalCode.REVOKED
            filed.check(SUB.issue("Alice"))


def test_a_list_signed_by_another_key_of_the_authority_counts(filed: Remote) -> None:
    lister = Authority(
        ROOT.issue("Sub", (AUTHORITY[0], (usage("crl_sign"), True)), public=key("lister")), key("lister")
    )
    stranger = root("Stranger")
    impostor = Authority(stranger.issue("Sub", AUTHORITY, public=key("impostor")), key("impostor"))
    filed.trusting(ROOT, SUB, lister, stranger, impostor)
    alice, bob = SUB.issue("Alice"), SUB.issue("Bob")
    filed.file("impostor", impostor.revocation_list([Entry(serial(alice))]))
    assert filed.refusal(alice).code is RefusalCode.REVOCATION_UNKNOWN
    filed.file("sub", lister.revocation_list([Entry(serial(bob))]))
    filed.check(alice)
    assert filed.refusal(bob).code is RefusalCode.REVOKED
    filed.file("root", ROOT.revocation_list([Entry(serial(lister.certificate))]))
    assert "was itself revoked" in filed.refusal(alice).text
    assert filed.refusal(bob).code is RefusalCode.REVOKED


def test_a_delta_in_a_file_revokes(filed: Remote) -> None:
    bob = SUB.issue("Bob")
    filed.file("sub", SUB.revocation_list(extensions=[(x509.CRLNumber(5), False)]))
    filed.check(bob)
    delta = [(x509.CRLNumber(6), False), (x509.DeltaCRLIndicator(5), True)]
    filed.file("delta", SUB.revocation_list([Entry(serial(bob))], delta))
    assert filed.refusal(bob).code is RefusalCode.REVOKED
    filed.check(SUB.issue("Alice"))


def test_where_one_way_is_revoked_another_may_lead_to_an_anchor(filed: Remote) -> None:
    other = root("Other")
    cross = Authority(other.issue("Sub", AUTHORITY), key("Sub"))
    filed.trusting(ROOT, SUB, other, cross)
    filed.file("sub", SUB.revocation_list())
    filed.file("other", other.revocation_list())
    for reason, is_admitted in ((x509.ReasonFlags.superseded, True), (x509.ReasonFlags.ca_compromise, False)):
        for revoking, good in ((ROOT, other), (other, ROOT)):
            revoked = SUB.certificate if revoking is ROOT else cross.certificate
            filed.file(
                "root" if revoking is ROOT else "other", revoking.revocation_list([Entry(serial(revoked), reason)])
            )
            filed.file("other" if revoking is ROOT else "root", good.revocation_list())
            if is_admitted or revoking is other:
                filed.check(SUB.issue("Alice"))
            else:
                assert filed.refusal(SUB.issue("Alice")).code is RefusalCode.REVOKED


@pytest.mark.parametrize("certificates", Certificates)
def test_a_certificate_for_another_purpose_opens_nothing_under_any_policy(
    tmp_path: Path, certificates: Certificates
) -> None:
    remote = Remote(tmp_path, CertificatePolicy(certificates))
    remote.file("root", ROOT.revocation_list())
    remote.file("sub", SUB.revocation_list())
    for purpose in ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.9"):
        server = SUB.issue("Alice", [(x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)]), False)])
        refused = remote.refusal(server)
        assert (refused.code, "another purpose" in refused.text) == (RefusalCode.USAGE, True)
    client = (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")]), False)
    remote.check(SUB.issue("Alice", [client]))


def test_under_the_paired_key_too_a_usage_can_be_demanded(tmp_path: Path) -> None:
    logon = "1.3.6.1.4.1.311.20.2.2"
    remote = Remote(tmp_path, CertificatePolicy(extended_key_usages=frozenset({logon})))
    assert "smart card logon" in remote.refusal(SUB.issue("Alice")).text
    remote.check(SUB.issue("Alice", [(x509.ExtendedKeyUsage([x509.ObjectIdentifier(logon)]), False)]))


def test_each_rule_is_explained(filed: Remote) -> None:
    filed.file("sub", SUB.revocation_list())
    alice = SUB.issue("Alice")
    until = "it counts until 2030-01-16 12:00 UTC"
    assert filed.explain(alice) == [
        ("policy", "ca+revocation"),
        ("slot", "its key may authenticate"),
        ("purpose", "for any purpose"),
        ("path", "“Alice” ← “Sub” ← “Root”"),
        ("policies", "none"),
        ("is “Alice” revoked", f"no, says the revocation list of “Sub”; {until}"),
        ("is “Sub” revoked", f"no, says the revocation list of “Root”; {until}"),
    ]
    filed.file("sub", SUB.revocation_list([Entry(serial(alice))]))
    rule, outcome = filed.explain(alice)[-1]
    assert rule == "refused"
    assert "was revoked on" in outcome


async def test_a_card_is_accepted_beside_a_list_of_100_000(filed: Remote) -> None:
    filed.file("sub", large_list("Sub"))
    alice = card(SUB.issue("Alice"))
    for _ in range(2):
        await filed.checker.check(alice, NOW)
