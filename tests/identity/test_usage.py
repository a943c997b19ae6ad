import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from sra.errors import RefusalCode, RefusedError
from sra.identity.certificate_paths import ANY_POLICY
from sra.identity.policy import CertificatePolicy, Certificates
from sra.identity.usage import ANY_USAGE, check_purpose, check_usage, listed
from tests.chains import AUTHORITY, Extensions, card, path, root, usage

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
