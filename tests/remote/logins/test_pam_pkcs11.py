from pathlib import Path

import pytest

from sra.identity.policy import CertificatePolicy, Certificates, settings
from sra.remote.logins import marks
from sra.remote.logins.pam_pkcs11 import HEAD, Pkcs11Settings


@pytest.mark.parametrize("certificates", list(Certificates))
def test_every_policy_can_be_written(certificates: Certificates) -> None:
    policy = settings(CertificatePolicy(certificates), Path("/lists")).pam_pkcs11
    text = Pkcs11Settings("/opensc.so", "/trust", "/map", policy).text
    assert f"cert_policy = {policy};" in text
    assert marks.is_as_signed(HEAD, text)


@pytest.mark.parametrize("policy", ["", "none", "ca", "ca,crl_offline", "no_signature"])
def test_no_policy_goes_without_the_signature(policy: str) -> None:
    with pytest.raises(ValueError, match="signature"):
        Pkcs11Settings("/opensc.so", "/trust", "/map", policy)
