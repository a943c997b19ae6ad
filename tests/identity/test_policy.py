from pathlib import Path

import pytest

from sra.identity.policy import CertificatePolicy, Certificates, settings

LISTS = Path("/var/lib/sra/login/lists.pem")


@pytest.mark.parametrize("certificates", Certificates)
def test_no_login_goes_without_a_signature(certificates: Certificates) -> None:
    assert settings(CertificatePolicy(certificates), LISTS).pam_pkcs11.split(",")[-1] == "signature"


@pytest.mark.parametrize("certificates", Certificates)
def test_no_login_goes_without_any_verification_by_sssd(certificates: Certificates) -> None:
    words = settings(CertificatePolicy(certificates), LISTS).sssd.split(",")
    assert not {"no_verification", "soft_crl", "soft_ocsp"} & set(words)


def test_the_login_checks_what_the_daemon_checks() -> None:
    pam = {each: settings(CertificatePolicy(each), LISTS).pam_pkcs11 for each in Certificates}
    assert pam == {"paired-key": "signature", "ca": "ca,signature", "ca+revocation": "ca,crl_offline,signature"}
    sssd = {each: settings(CertificatePolicy(each), LISTS).sssd for each in Certificates}
    assert sssd == {
        "paired-key": "",
        "ca": "no_ocsp",
        "ca+revocation": "no_ocsp,crl_file=/var/lib/sra/login/lists.pem",
    }


def test_whether_lists_are_needed_follows_from_the_policy() -> None:
    found = [settings(CertificatePolicy(each), LISTS) for each in Certificates]
    assert [each.needs_revocation_lists for each in found] == [False, False, True]


def test_the_paired_key_is_enough_unless_something_is_set() -> None:
    policy = CertificatePolicy()
    assert (policy.needs_authority, policy.needs_revocation) == (False, False)
    assert CertificatePolicy(Certificates.CA).needs_authority
    assert not CertificatePolicy(Certificates.CA).needs_revocation
    assert CertificatePolicy(Certificates.CA_REVOCATION).needs_authority
