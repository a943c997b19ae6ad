import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from sra.errors import RefusalCode, RefusedError
from sra.identity.policy import CertificatePolicy, Certificates
from sra.identity.usage import ANY_POLICY, ANY_USAGE, check_usage, valid_policies
from tests.chains import AUTHORITY, Extensions, path, policies, root, usage

CLIENT, LOGON = "1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2"
HIGH, LOW = "2.16.840.1.101.3.2.1.3.13", "2.16.840.1.101.3.2.1.3.17"
ROOT = root()


def chain(leaf: Extensions = (), authority: Extensions = ()) -> tuple[x509.Certificate, ...]:
    sub = ROOT.authority("Sub", (*AUTHORITY, *authority))
    return path(ROOT, sub, leaf=sub.issue("Alice", leaf))


def wanting(*, policies: tuple[str, ...] = (), usages: tuple[str, ...] = ()) -> CertificatePolicy:
    return CertificatePolicy(Certificates.CA, frozenset(policies), frozenset(usages))


def refused(certificates: tuple[x509.Certificate, ...], policy: CertificatePolicy) -> str:
    with pytest.raises(RefusedError) as caught:
        check_usage(certificates, policy)
    assert caught.value.code is RefusalCode.USAGE
    return caught.value.text


def extended(*identifiers: str) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(each) for each in identifiers]), False


def test_a_certificate_that_says_nothing_may_be_used() -> None:
    assert check_usage(chain(), wanting()) == "policies: none"


def test_key_usage_has_to_include_signatures_where_there_is_one() -> None:
    assert check_usage(chain([(usage("digital_signature"), True)]), wanting())
    assert "key usage" in refused(chain([(usage("key_agreement"), True)]), wanting())
    assert "key usage" in refused(chain([(usage("content_commitment"), True)]), wanting())


def test_every_extended_usage_that_is_wanted_has_to_be_there() -> None:
    wanted = wanting(usages=(CLIENT, LOGON))
    assert check_usage(chain([extended(LOGON, CLIENT)]), wanted)
    assert "smart card logon" in refused(chain([extended(CLIENT)]), wanted)
    server = [extended(ExtendedKeyUsageOID.SERVER_AUTH.dotted_string)]
    assert "client authentication" in refused(chain(server), wanting(usages=(CLIENT,)))


def test_any_usage_and_no_usage_are_not_the_one_that_is_wanted() -> None:
    assert "client authentication" in refused(chain(), wanting(usages=(CLIENT,)))
    assert "client authentication" in refused(chain([extended(ANY_USAGE)]), wanting(usages=(CLIENT,)))


def test_an_authority_that_is_limited_has_to_allow_the_usage() -> None:
    leaf = [extended(CLIENT)]
    assert check_usage(chain(leaf, [extended(CLIENT)]), wanting(usages=(CLIENT,)))
    assert check_usage(chain(leaf, [extended(ANY_USAGE)]), wanting(usages=(CLIENT,)))
    assert "may not issue" in refused(chain(leaf, [extended(LOGON)]), wanting(usages=(CLIENT,)))


def test_one_of_the_policies_that_are_wanted_is_enough() -> None:
    certificates = chain([policies(HIGH)], [policies(HIGH, LOW)])
    assert check_usage(certificates, wanting(policies=(HIGH, "1.2.3"))) == f"policies: {HIGH}"
    assert LOW in refused(certificates, wanting(policies=(LOW,)))


@pytest.mark.parametrize(
    ("leaf", "authority", "valid"),
    [
        ([policies(HIGH)], [policies(ANY_POLICY)], frozenset({HIGH})),
        ([policies(HIGH)], [policies(HIGH, LOW)], frozenset({HIGH})),
        ([policies(HIGH)], [policies(LOW)], frozenset()),
        ([policies(HIGH)], [], frozenset()),
        ([], [policies(HIGH)], frozenset()),
        ([policies(ANY_POLICY)], [policies(HIGH)], frozenset({HIGH})),
        ([policies(ANY_POLICY, LOW)], [policies(HIGH)], frozenset({HIGH})),
        ([policies(ANY_POLICY)], [policies(ANY_POLICY)], None),
        ([policies(ANY_POLICY)], [policies(HIGH), (x509.InhibitAnyPolicy(0), True)], frozenset()),
    ],
)
def test_a_policy_is_valid_if_it_is_so_on_the_whole_path(
    leaf: Extensions, authority: Extensions, valid: frozenset[str] | None
) -> None:
    assert valid_policies(chain(leaf, authority)) == valid


def test_what_the_anchor_says_about_policies_does_not_matter() -> None:
    anchor = root(extensions=(*AUTHORITY, policies(LOW)))
    assert valid_policies(path(anchor, leaf=anchor.issue("Alice", [policies(HIGH)]))) == frozenset({HIGH})


def test_any_policy_satisfies_whoever_wants_one() -> None:
    certificates = chain([policies(ANY_POLICY)], [policies(ANY_POLICY)])
    assert check_usage(certificates, wanting(policies=(HIGH,))) == "policies: any"


def test_an_authority_that_wants_a_policy_gets_one_or_no() -> None:
    explicit = (x509.PolicyConstraints(0, None), True)
    assert check_usage(chain([policies(HIGH)], [policies(HIGH), explicit]), wanting())
    assert "no policy" in refused(chain([policies(LOW)], [policies(HIGH), explicit]), wanting())
    assert check_usage(chain([policies(LOW)], [policies(HIGH), (x509.PolicyConstraints(None, 0), True)]), wanting())
