from pathlib import Path

import pytest

from sra.identity.policy import CertificatePolicy, Certificates, settings
from sra.remote.logins import pam_pkcs11
from sra.remote.logins.pam_pkcs11 import Pkcs11Settings

SHA256_OF_A = "CA:97:81:12:CA:1B:BD:CA:FA:C2:31:B3:9A:23:DC:4D:A7:86:EF:F8:14:7C:4E:72:B9:80:77:85:AF:EE:48:BB"


@pytest.mark.parametrize("certificates", list(Certificates))
def test_every_policy_can_be_written(certificates: Certificates) -> None:
    policy = settings(CertificatePolicy(certificates), Path("/lists")).pam_pkcs11
    text = Pkcs11Settings("/opensc.so", "/trust", "/map", policy).text
    assert f"cert_policy = {policy};" in text
    assert pam_pkcs11.is_as_written(text)


@pytest.mark.parametrize("policy", ["", "none", "ca", "ca,crl_offline", "no_signature"])
def test_no_policy_goes_without_the_signature(policy: str) -> None:
    with pytest.raises(ValueError, match="signature"):
        Pkcs11Settings("/opensc.so", "/trust", "/map", policy)


def test_settings_of_ours_are_recognised_until_they_are_edited() -> None:
    text = Pkcs11Settings("/opensc.so", "/trust", "/map", "signature").text
    assert pam_pkcs11.is_as_written(text)
    assert not pam_pkcs11.is_edited(text)
    for edited in (text + "three\n", text.replace("/map", "/other"), text.replace("[", "")):
        assert pam_pkcs11.is_ours(edited)
        assert not pam_pkcs11.is_as_written(edited)
        assert pam_pkcs11.is_edited(edited)


def test_other_settings_are_not_ours() -> None:
    written = Pkcs11Settings("/opensc.so", "/trust", "/map", "signature").text
    for text in ("", "one\n", written.replace("Written by", "Made by", 1)):
        assert not pam_pkcs11.is_ours(text)
        assert not pam_pkcs11.is_as_written(text)
        assert not pam_pkcs11.is_edited(text)


def test_a_certificate_is_known_by_its_digest() -> None:
    text = pam_pkcs11.mapping_of({b"a": "ann", b"b": "bob"}).decode()
    assert f"\n{SHA256_OF_A} -> ann\n" in text
    assert [pam_pkcs11.mapped_account(text, each) for each in (b"a", b"b", b"c")] == ["ann", "bob", ""]
    assert pam_pkcs11.mapped_accounts(text) == {"ann", "bob"}


def test_the_file_is_never_empty_since_that_crashes_the_login() -> None:
    text = pam_pkcs11.mapping_of({}).decode()
    assert text.startswith("# ")
    assert pam_pkcs11.mapped_accounts(text) == frozenset()


def test_the_same_cards_make_the_same_file() -> None:
    assert pam_pkcs11.mapping_of({b"a": "x", b"b": "y"}) == pam_pkcs11.mapping_of({b"b": "y", b"a": "x"})


def test_an_accounts_lines_are_taken_away_without_reading_a_certificate() -> None:
    text = pam_pkcs11.mapping_of({b"a": "ann", b"b": "bob", b"c": "ann"}).decode()
    assert pam_pkcs11.mapping_without(text, "ann") == pam_pkcs11.mapping_of({b"b": "bob"})
    assert pam_pkcs11.mapping_without(text, "an") == text.encode()


def test_an_account_whose_name_could_be_another_line_gets_none() -> None:
    """A directory's word: pam_pkcs11 takes the first line that matches."""
    for account in (f"ann\n{SHA256_OF_A} -> root", "x -> root", " root", "root ", "", "a\x00"):
        assert pam_pkcs11.mapping_of({b"a": account}) == pam_pkcs11.mapping_of({})
    assert pam_pkcs11.mapped_account(pam_pkcs11.mapping_of({b"a": "AGENCY\\ann"}).decode(), b"a") == "AGENCY\\ann"
